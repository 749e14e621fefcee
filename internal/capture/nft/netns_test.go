package nft

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Addresses of the two namespaces that a test makes: the pod, and a peer at the other end of its link.
const (
	podIP, podIP6   = "10.50.0.2", "fd50::2"
	peerIP, peerIP6 = "10.50.0.1", "fd50::1"
	otherServer     = "10.50.0.3" // an address of the peer, too

	asApp   = 1000
	asProxy = 1337
)

// world is a pod and its peer in network namespaces that live as long as the test.
type world struct {
	pod, peer netns.NsHandle
}

// newWorld needs root, as writing packet rules does. It fails without: a skipped test would prove nothing.
func newWorld(t *testing.T) world {
	t.Helper()
	var w world
	var err error
	onThread(t, func() error {
		if w.peer, err = netns.New(); err != nil {
			return fmt.Errorf("make a network namespace (this test needs root): %w", err)
		}
		if w.pod, err = netns.New(); err != nil {
			return err
		}
		return link(w)
	})
	t.Cleanup(func() {
		_ = w.pod.Close() // the kernel takes the namespace down with its last holder
		_ = w.peer.Close()
	})
	return w
}

// link runs in the pod's namespace: a veth pair, addresses, and a default route to the peer.
func link(w world) error {
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "eth0", PeerNamespace: netlink.NsFd(w.peer)}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("add veth: %w", err)
	}
	if err := addresses(podIP+"/24", podIP6+"/64"); err != nil {
		return err
	}
	eth, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	for _, via := range []string{peerIP, peerIP6} {
		if err := netlink.RouteAdd(&netlink.Route{LinkIndex: eth.Attrs().Index, Gw: net.ParseIP(via)}); err != nil {
			return fmt.Errorf("route via %s: %w", via, err)
		}
	}
	if err := netns.Set(w.peer); err != nil {
		return err
	}
	return addresses(peerIP+"/24", otherServer+"/24", peerIP6+"/64")
}

func addresses(cidrs ...string) error {
	for _, name := range []string{"lo", "eth0"} {
		l, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		if err := netlink.LinkSetUp(l); err != nil {
			return fmt.Errorf("set %s up: %w", name, err)
		}
		if name == "lo" {
			continue
		}
		for _, cidr := range cidrs {
			a, err := netlink.ParseAddr(cidr)
			if err != nil {
				return err
			}
			a.Flags = unix.IFA_F_NODAD // usable at once
			if err := netlink.AddrAdd(l, a); err != nil {
				return fmt.Errorf("add %s: %w", cidr, err)
			}
		}
	}
	return nil
}

// onThread runs do on an OS thread of its own, which ends with it: what do changes of the thread (network namespace,
// user) touches nobody else.
func onThread(t *testing.T, do func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked, so the thread ends with the goroutine
		done <- do()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// in runs do in a namespace, as a user and the group of the same number. Sockets made in do belong to that user.
func in(t *testing.T, ns netns.NsHandle, user int, do func() error) {
	t.Helper()
	onThread(t, func() error {
		if err := netns.Set(ns); err != nil {
			return err
		}
		// The raw calls change this thread only; the ones of package syscall would change all threads.
		_, _, _ = unix.RawSyscall(unix.SYS_SETFSGID, uintptr(user), 0, 0)
		_, _, _ = unix.RawSyscall(unix.SYS_SETFSUID, uintptr(user), 0, 0)
		return do()
	})
}

// serve answers every TCP connection and every UDP packet at an address with a name, so that clients see whom they met.
func (w world) serve(t *testing.T, ns netns.NsHandle, user int, address, name string) {
	t.Helper()
	in(t, ns, user, func() error {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = l.Close() })
		p, err := net.ListenPacket("udp", address)
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = p.Close() })
		go answerTCP(l, name)
		go answerUDP(p, name)
		return nil
	})
}

func answerTCP(l net.Listener, name string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.WriteString(c, name) // a client that left sees nothing, and says so
		_ = c.Close()
	}
}

func answerUDP(p net.PacketConn, name string) {
	buf := make([]byte, 64)
	for {
		_, from, err := p.ReadFrom(buf)
		if err != nil {
			return
		}
		_, _ = p.WriteTo([]byte(name), from) // as above
	}
}

// dial says who answers: the name that the server gave, or "refused".
func (w world) dial(t *testing.T, ns netns.NsHandle, user int, network, from, to string) string {
	t.Helper()
	var met string
	in(t, ns, user, func() error {
		d := net.Dialer{Timeout: 5 * time.Second}
		if from != "" {
			at := netip.MustParseAddrPort(from)
			d.LocalAddr = net.TCPAddrFromAddrPort(at)
			if network == "udp" {
				d.LocalAddr = net.UDPAddrFromAddrPort(at)
			}
		}
		c, err := d.Dial(network, to)
		if errors.Is(err, syscall.ECONNREFUSED) {
			met = "refused"
			return nil
		}
		if err != nil {
			return err
		}
		defer c.Close()
		met, err = greeting(c, network)
		return err
	})
	return met
}

func greeting(c net.Conn, network string) (string, error) {
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	if network == "udp" {
		if _, err := c.Write([]byte("?")); err != nil {
			return "", err
		}
	}
	buf := make([]byte, 64)
	n, err := c.Read(buf)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return "refused", nil
	}
	return string(buf[:n]), err
}
