package process

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is what /proc counts CPU time in. Linux shows it as 1/100 s on every machine (USER_HZ).
const tick = 10 * time.Millisecond

// Usage is what a process used of the machine.
type Usage struct {
	CPU      time.Duration // since it started, in steps of 10 ms
	Resident int64         // bytes
	Peak     int64         // bytes, since the start or the last call of ForgetPeak
}

// Usage reads /proc.
func (p *Process) Usage() (Usage, error) {
	u, err := p.usage()
	if err != nil {
		return u, fmt.Errorf("read usage of %s: %w", p.name, err)
	}
	return u, nil
}

func (p *Process) usage() (u Usage, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.ID()))
	if err != nil {
		return u, err
	}
	// The program's name stands in parentheses and may hold anything; user and system time are the 12th and 13th field after it.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return u, fmt.Errorf("%q has too few fields", stat)
	}
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(string(f), 10, 64)
		if err != nil {
			return u, err
		}
		u.CPU += time.Duration(n) * tick
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.ID()))
	if err != nil {
		return u, err
	}
	u.Resident, u.Peak = sizeIn(string(status), "VmRSS:"), sizeIn(string(status), "VmHWM:")
	return u, nil
}

// sizeIn finds a size such as "VmRSS:   5124 kB" in lines of text, in bytes; 0 when it is not there.
func sizeIn(text, name string) int64 {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 3 && fields[0] == name {
			n, _ := strconv.ParseInt(fields[1], 10, 64)
			return n << 10
		}
	}
	return 0
}

// ForgetPeak makes the peak of memory count from now on.
func (p *Process) ForgetPeak() error {
	const resetPeak = "5" // see clear_refs in proc(5)
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.ID()), []byte(resetPeak), 0); err != nil {
		return fmt.Errorf("reset peak of %s: %w", p.name, err)
	}
	return nil
}

// MachineMemory is the memory of the machine in bytes; 0 where it cannot be read.
func MachineMemory() int64 {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	return sizeIn(string(text), "MemTotal:")
}
