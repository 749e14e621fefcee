package meshtest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"golang.org/x/tools/txtar"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/isthmus-mesh/isthmus/bench/sidecar"
)

// command is one word of a script with its arguments.
type command struct {
	usage   string
	changes bool // what is sent counts from here
	run     func(m *mesh, files map[string][]byte, args []string) error
}

// commands are what a script can say. Those with == compare the words behind it with what is found.
var commands = map[string]command{
	"apply":  {"CLUSTER FILE", true, apply},
	"delete": {"CLUSTER FILE", true, remove},
	"join": {"CLUSTER REMOTE", true, func(m *mesh, _ map[string][]byte, args []string) error {
		return m.join(args[0], args[1], false)
	}},
	"join-broken": {"CLUSTER REMOTE", true, func(m *mesh, _ map[string][]byte, args []string) error {
		return m.join(args[0], args[1], true)
	}},
	"leave": {"CLUSTER REMOTE", true, func(m *mesh, _ map[string][]byte, args []string) error {
		return m.leave(args[0], args[1])
	}},
	"lose": {"CLUSTER", true, func(m *mesh, _ map[string][]byte, args []string) error {
		m.api(args[0]).lose()
		return nil
	}},
	"find": {"CLUSTER", true, func(m *mesh, _ map[string][]byte, args []string) error {
		m.api(args[0]).find()
		return nil
	}},
	"clock": {"+DURATION", false, clock},
	"istiod": {"CLUSTER", false, func(m *mesh, _ map[string][]byte, args []string) error {
		return m.startControlPlane(args[0])
	}},
	"sidecar": {"NAME CLUSTER NAMESPACE", false, func(m *mesh, _ map[string][]byte, args []string) error {
		return m.connect(args[0], args[1], args[2])
	}},
	"endpoints": {"SIDECAR SERVICE.NAMESPACE:PORT == ADDRESS...", false, endpoints},
	"sent":      {"SIDECAR == TYPE:RESOURCES...", false, sent},
	"state":     {"CLUSTER REMOTE == STATE", false, state},
}

// run runs a script: the comment of a txtar archive, whose files it names. After each line everything happens that follows
// from it.
func run(m *mesh, archive *txtar.Archive) error {
	files := map[string][]byte{}
	for _, f := range archive.Files {
		files[f.Name] = f.Data
	}
	number, ran := 0, 0
	for line := range strings.Lines(string(archive.Comment)) {
		number++
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if err := runLine(m, files, words); err != nil {
			return fmt.Errorf("line %d: %s: %w", number, strings.TrimSpace(line), err)
		}
		ran++
	}
	if ran == 0 {
		return errors.New("the script says nothing")
	}
	return nil
}

func runLine(m *mesh, files map[string][]byte, words []string) error {
	c, known := commands[words[0]]
	if !known {
		return errors.New("no such command")
	}
	args := words[1:]
	before, _, _ := strings.Cut(c.usage, "==")
	compares := strings.Contains(c.usage, "==")
	if want := len(strings.Fields(before)); compares && (len(args) <= want || args[want] != "==") || !compares && len(args) != want {
		return fmt.Errorf("usage: %s %s", words[0], c.usage)
	}
	if c.changes {
		m.changing()
	}
	err := c.run(m, files, args)
	m.settle()
	return err
}

func apply(m *mesh, files map[string][]byte, args []string) error {
	return m.eachObject(files, args[1], m.api(args[0]).put)
}

func remove(m *mesh, files map[string][]byte, args []string) error {
	return m.eachObject(files, args[1], m.api(args[0]).remove)
}

// eachObject does something with each object of a file, once what was done before has taken effect: so do controllers, which
// write a slice when they have seen the pod. Watches of different kinds would tell of both in any order.
func (m *mesh) eachObject(files map[string][]byte, name string, do func(runtime.Object) error) error {
	file, there := files[name]
	if !there {
		return fmt.Errorf("no file %s in the archive", name)
	}
	objects, err := decode(file)
	if err != nil {
		return err
	}
	for _, object := range objects {
		if err := do(object); err != nil {
			return err
		}
		m.settle()
	}
	return nil
}

func clock(_ *mesh, _ map[string][]byte, args []string) error {
	d, err := time.ParseDuration(strings.TrimPrefix(args[0], "+"))
	if err != nil {
		return err
	}
	time.Sleep(d) // of the bubble: it costs nothing
	return nil
}

func endpoints(m *mesh, _ map[string][]byte, args []string) error {
	p := m.sidecars[args[0]]
	if p == nil {
		return errors.New("no such sidecar")
	}
	host, port, ok := strings.Cut(args[1], ":")
	if !ok {
		return errors.New("name the port: SERVICE.NAMESPACE:PORT")
	}
	got, err := addressesOf(p.fleet.Contents(0, sidecar.Endpoints)["outbound|"+port+"||"+host+".svc.cluster.local"])
	if err != nil {
		return err
	}
	return compare(got, args[3:])
}

// addressesOf gives the addresses in a load assignment, ordered.
func addressesOf(body string) ([]string, error) {
	assignment := &endpointv3.ClusterLoadAssignment{}
	if err := proto.Unmarshal([]byte(body), assignment); err != nil {
		return nil, err
	}
	var all []string
	for _, locality := range assignment.GetEndpoints() {
		for _, e := range locality.GetLbEndpoints() {
			all = append(all, e.GetEndpoint().GetAddress().GetSocketAddress().GetAddress())
		}
	}
	slices.Sort(all)
	return all, nil
}

func sent(m *mesh, _ map[string][]byte, args []string) error {
	p := m.sidecars[args[0]]
	if p == nil {
		return errors.New("no such sidecar")
	}
	var got []string
	for t, traffic := range p.sent() {
		if n := traffic.Resources + traffic.Removed; n > 0 {
			got = append(got, fmt.Sprintf("%s:%d", sidecar.Type(t), n))
		}
	}
	return compare(got, args[2:])
}

func state(m *mesh, _ map[string][]byte, args []string) error {
	got, err := m.state(args[0], args[1])
	if err != nil {
		return err
	}
	return compare([]string{got}, args[3:])
}

// compare wants the same words in the same order; "none" stands for no word.
func compare(got, want []string) error {
	if len(got) == 0 {
		got = []string{"none"}
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("got %s", strings.Join(got, " "))
	}
	return nil
}
