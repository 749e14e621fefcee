// Package registry turns the Kubernetes and Istio objects of all clusters into one model.Snapshot. It holds the trimmed
// objects of a cluster as immutable values (Objects), which package clusters fills, and merges them (Build). It never
// talks to an API server, has no clock and no goroutine, and never changes what it was given: what did not change keeps
// its pointer, from the objects to the snapshot.
package registry

import (
	"fmt"
	"iter"
	"reflect"
	"slices"

	"github.com/isthmus-mesh/isthmus/internal/model"
)

// Objects are the objects of one cluster, trimmed to what the mesh needs. They are immutable: With, Without and Replace
// give new Objects that share what did not change. The zero value with a Cluster is a cluster without objects.
type Objects struct {
	Cluster model.Cluster

	namespaces table[*namespace] // never holds an empty namespace; "" holds what is cluster-scoped
}

// namespace holds the objects of one namespace by kind and name. Its pointer changes only when something inside does.
// A nil namespace is empty.
type namespace struct {
	kinds [kinds]table[Object]
}

// NewObjects gives a cluster with the given objects.
func NewObjects(cluster model.Cluster, objects ...Object) *Objects {
	return (&Objects{Cluster: cluster}).With(objects...)
}

// With gives Objects that hold the given ones too, each in place of the one with its key. When all of them are there
// already, with equal content, it gives o itself.
func (o *Objects) With(objects ...Object) *Objects {
	next := *o
	changed := false
	for _, object := range objects {
		key := object.Key()
		ns := next.namespaces.get(key.Namespace)
		was := ns.get(key.Kind, key.Name)
		if was != nil && reflect.DeepEqual(was, object) {
			continue
		}
		next.namespaces = next.namespaces.with(key.Namespace, ns.with(key.Kind, key.Name, object))
		changed = true
	}
	if !changed {
		return o
	}
	return &next
}

// Without gives Objects that do not hold the given keys, or o itself when it holds none of them.
func (o *Objects) Without(keys ...Key) *Objects {
	next := *o
	changed := false
	for _, key := range keys {
		ns := next.namespaces.get(key.Namespace)
		if ns.get(key.Kind, key.Name) == nil {
			continue
		}
		changed = true
		if ns = ns.without(key.Kind, key.Name); ns == nil {
			next.namespaces = next.namespaces.without(key.Namespace)
		} else {
			next.namespaces = next.namespaces.with(key.Namespace, ns)
		}
	}
	if !changed {
		return o
	}
	return &next
}

// Replace gives Objects whose objects of one kind are exactly the given ones, as after a new list. Those with equal
// content keep their pointers.
func (o *Objects) Replace(kind Kind, objects []Object) *Objects {
	stay := make(map[Key]struct{}, len(objects))
	for _, object := range objects {
		stay[object.Key()] = struct{}{}
	}
	var gone []Key
	for object := range o.All(kind) {
		if _, ok := stay[object.Key()]; !ok {
			gone = append(gone, object.Key())
		}
	}
	return o.Without(gone...).With(objects...)
}

// Adopt gives Objects with the content of now. What is equal in both keeps the pointers of o, so that a second look at the
// same cluster changes nothing.
func (o *Objects) Adopt(now *Objects) *Objects {
	for kind := range Kind(kinds) {
		o = o.Replace(kind, slices.Collect(now.All(kind)))
	}
	return o
}

// All gives every object of a kind, in no order.
func (o *Objects) All(kind Kind) iter.Seq[Object] {
	return func(yield func(Object) bool) {
		for _, ns := range o.namespaces.all() {
			for _, object := range ns.kinds[kind].all() {
				if !yield(object) {
					return
				}
			}
		}
	}
}

// Count counts the objects of a kind.
func (o *Objects) Count(kind Kind) int {
	n := 0
	for _, ns := range o.namespaces.all() {
		n += ns.kinds[kind].len()
	}
	return n
}

// namespace finds a namespace; it is nil when it has no objects. A nil cluster has none.
func (o *Objects) namespace(name string) *namespace {
	if o == nil {
		return nil
	}
	return o.namespaces.get(name)
}

// network gives the network of the cluster, as the label of its system namespace says.
func (o *Objects) network(systemNamespace string) model.Network {
	if ns, ok := o.namespace(systemNamespace).get(KindNamespace, systemNamespace).(*Namespace); ok {
		return ns.Network
	}
	return ""
}

func (o *Objects) locality(node string) model.Locality {
	if n, ok := o.namespace("").get(KindNode, node).(*Node); ok {
		return n.Locality
	}
	return model.Locality{}
}

func (n *namespace) get(kind Kind, name string) Object {
	if n == nil {
		return nil
	}
	return n.kinds[kind].get(name)
}

// kind gives the table of a kind.
func (n *namespace) kind(kind Kind) table[Object] {
	if n == nil {
		return table[Object]{}
	}
	return n.kinds[kind]
}

func (n *namespace) service(name string) *Service {
	s, _ := n.get(KindService, name).(*Service)
	return s
}

func (n *namespace) pod(name string) *Pod {
	p, _ := n.get(KindPod, name).(*Pod)
	return p
}

// slices gives the endpoint slices of the namespace.
func (n *namespace) slices() iter.Seq[*Slice] {
	return func(yield func(*Slice) bool) {
		for _, object := range n.kind(KindSlice).all() {
			if !yield(object.(*Slice)) {
				return
			}
		}
	}
}

func (n *namespace) with(kind Kind, name string, object Object) *namespace {
	var next namespace
	if n != nil {
		next = *n
	}
	next.kinds[kind] = next.kinds[kind].with(name, object)
	return &next
}

// without gives nil when nothing remains.
func (n *namespace) without(kind Kind, name string) *namespace {
	next := *n
	next.kinds[kind] = next.kinds[kind].without(name)
	for i := range next.kinds {
		if next.kinds[i].len() > 0 {
			return &next
		}
	}
	return nil
}

// Kind is a kind of objects.
type Kind uint8

// The kinds.
const (
	KindNamespace Kind = iota
	KindNode
	KindService
	KindSlice
	KindPod
	KindGateway
	KindCredential

	kinds = iota
)

var kindNames = [kinds]string{"Namespace", "Node", "Service", "EndpointSlice", "Pod", "Gateway", "Secret"}

// String gives the kind's name in Kubernetes.
func (k Kind) String() string {
	if int(k) >= len(kindNames) {
		return fmt.Sprintf("Kind(%d)", uint8(k))
	}
	return kindNames[k]
}

// Key names an object of a cluster. A Namespace object is in the namespace of its own name, a Node in the namespace "".
type Key struct {
	Kind            Kind
	Namespace, Name string
}

// Object is a trimmed object: *Namespace, *Node, *Service, *Slice, *Pod, *Gateway or *Credential.
type Object interface {
	Key() Key
}
