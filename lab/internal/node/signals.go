package node

import (
	"os"
	"os/signal"
	"syscall"
)

// notifyChildren sends to the channel when a child has ended. One pending signal is enough: whoever reads it takes in all.
func notifyChildren(children chan<- os.Signal) {
	signal.Notify(children, syscall.SIGCHLD)
	children <- syscall.SIGCHLD // for those that ended before
}
