package agent

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// reapOrphans collects ended processes that the kernel handed to this one as the first of its PID namespace. Envoy is left
// alone: whoever started a child waits for it. Elsewhere than in a container there is nothing to do.
func (a *agent) reapOrphans(ctx context.Context) {
	if os.Getpid() != 1 {
		return
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	defer signal.Stop(ended)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ended:
			reapAllBut(a.envoyPID())
		}
	}
}

func (a *agent) envoyPID() int { return int(a.pid.Load()) }

// reapAllBut collects every ended child but one. It returns how many.
func reapAllBut(own int) int {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		panic(err) // the pattern is wrong
	}
	n := 0
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // collected meanwhile
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil || pid == own || !endedChild(string(text)) {
			continue
		}
		var status syscall.WaitStatus
		if got, err := syscall.Wait4(pid, &status, syscall.WNOHANG, nil); err == nil && got == pid {
			n++
		}
	}
	return n
}

// endedChild reads /proc/PID/stat: "pid (name) state parent ...", where the name may hold anything.
func endedChild(stat string) bool {
	var state string
	var parent int
	rest := stat[strings.LastIndexByte(stat, ')')+1:]
	if _, err := fmt.Sscan(rest, &state, &parent); err != nil {
		return false
	}
	return state == "Z" && parent == os.Getpid()
}
