package controlplane

import (
	"context"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/isthmus-mesh/isthmus/internal/inject"
)

// nativeSidecars knows whether the nodes of the own cluster run sidecars as init containers that go on.
type nativeSidecars struct {
	native atomic.Bool
}

// watch follows the nodes until the context ends.
func (n *nativeSidecars) watch(ctx context.Context, client kubernetes.Interface) error {
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTransform(versionOnly))
	informer := factory.Core().V1().Nodes().Informer()
	decide := func(any) {
		var nodes []*corev1.Node
		for _, obj := range informer.GetStore().List() {
			nodes = append(nodes, obj.(*corev1.Node))
		}
		n.native.Store(inject.NativeSidecars(nodes))
	}
	registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: decide, UpdateFunc: func(_, obj any) { decide(obj) }, DeleteFunc: decide,
	})
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	cache.WaitForCacheSync(ctx.Done(), registration.HasSynced)
	return nil
}

// versionOnly keeps of a node what the decision needs.
func versionOnly(obj any) (any, error) {
	node, ok := obj.(*corev1.Node)
	if !ok {
		return obj, nil
	}
	small := &corev1.Node{}
	small.Name, small.ResourceVersion, small.UID = node.Name, node.ResourceVersion, node.UID
	small.Status.NodeInfo.KubeletVersion = node.Status.NodeInfo.KubeletVersion
	return small, nil
}
