// Package lab is the root of the lab's module: real Kubernetes clusters on one Linux machine, without Docker and without a virtual machine.
// It holds no code but the tests on real labs (build tag lab); README.md is for users, and this is for those who change it.
//
// # How it is made
//
// A node of a cluster is one process, the supervisor (package node), that is first in namespaces of its own: network, processes, mounts,
// host name, IPC. It mounts what a node writes to, sets its network up, and starts containerd, the kubelet and kube-proxy, on the first
// node of a cluster also etcd, the API server and the other parts of the control plane. All of these are the real programs, built
// from their Go modules into a cache (package binaries; the modules are in binaries/).
//
// That shape is what makes `down` certain. When a supervisor dies, the kernel ends every process in its namespace, and with the last
// of them go the mounts, interfaces, routes, firewall rules and named network namespaces of pods. What is left is on the host and few:
// control groups, one bridge, the lab's folder; each carries the lab's name. A supervisor joins its control group before anything else and begins
// only when the starting process has plugged its cable in, so a `kill -9` of `up` at any moment leaves nothing that `down` does not see.
//
// # Packages, from the bottom
//
//	plan                 pure: name and size of a lab -> clusters, nodes, networks, addresses, names
//	pki, config          pure but for randomness: keys and certificates; command lines, files, firewall
//	progress             how long work takes, for people who wait
//	binaries, image      programs from their modules; images from programs
//	cgroup, hostnet      control groups; the bridge and the host's routes
//	host                 what the machine lacks
//	node                 the inside of a node
//	cloud                LoadBalancer addresses
//	addons               what each new cluster is given: DNS, permissions
//	lab                  the assembly: up, down, status
//	cli                  one file a command
//
// # Network
//
// Each lab has a /16, cut by package plan. All nodes are plugged into one bridge and have routes to each other's pods, so the host forwards
// nothing and no setting of it is changed for it. Networks are kept apart by rules on the receiving nodes (config.Firewall) that look at a
// connection's first packet before kube-proxy changes its destination.
package lab
