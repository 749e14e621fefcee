package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// Report is what a round of calls came to, as JSON.
type Report struct {
	Answers map[string]int `json:"answers"` // by the cluster that answered
	Failed  int            `json:"failed"`
	Errors  []string       `json:"errors,omitempty"` // at most 5
	Slowest int            `json:"slowestMs"`
	Last    Answer         `json:"last"`
}

// asker asks once and gives the answer's text. Clients of HTTP and gRPC keep their connection, those of TCP make a new one.
type asker func(ctx context.Context, target string) (string, error)

// call asks a target again and again and prints the report. Calls that fail are counted, and no failure of its own.
func call(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("call", flag.ContinueOnError)
	n := flags.Int("n", 1, "how often")
	timeout := flags.Duration("timeout", 5*time.Second, "of one call")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 2 {
		return errors.New("usage: echo call [-n 1] [-timeout 5s] http1.0|http1|http2|grpc|tcp|banner HOST:PORT")
	}
	mode, target := flags.Arg(0), flags.Arg(1)
	ask, err := askerOf(mode, target)
	if err != nil {
		return err
	}
	report := Report{Answers: map[string]int{}}
	for range *n {
		report.add(once(ctx, *timeout, ask, target))
	}
	return json.NewEncoder(os.Stdout).Encode(report)
}

func once(ctx context.Context, timeout time.Duration, ask asker, target string) (Answer, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	start := time.Now()
	text, err := ask(ctx, target)
	took := time.Since(start)
	if err != nil {
		return Answer{}, took, err
	}
	var a Answer
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		return Answer{}, took, fmt.Errorf("%w in %.300q", err, text)
	}
	return a, took, nil
}

func (r *Report) add(a Answer, took time.Duration, err error) {
	r.Slowest = max(r.Slowest, int(took.Milliseconds()))
	if err == nil {
		r.Answers[a.Cluster]++
		r.Last = a
		return
	}
	r.Failed++
	if len(r.Errors) < 5 {
		r.Errors = append(r.Errors, err.Error())
	}
}

func askerOf(mode, target string) (asker, error) {
	switch mode {
	case "http1.0":
		return askHTTP10, nil
	case "http1":
		return askHTTP(func(p *http.Protocols) { p.SetHTTP1(true) }), nil
	case "http2":
		return askHTTP(func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }), nil
	case "grpc":
		conn, err := grpc.NewClient("passthrough:///"+target, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context, _ string) (string, error) { return callGRPC(ctx, conn) }, nil
	case "tcp":
		return askLines(true), nil
	case "banner":
		return askLines(false), nil
	default:
		return nil, fmt.Errorf("%q is none of http1.0, http1, http2, grpc, tcp, banner", mode)
	}
}

func askHTTP(speak func(*http.Protocols)) asker {
	protocols := new(http.Protocols)
	speak(protocols)
	client := &http.Client{Transport: &http.Transport{Protocols: protocols}}
	return func(ctx context.Context, target string) (string, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+target+"/", nil)
		if err != nil {
			return "", err
		}
		response, err := client.Do(request)
		if err != nil {
			return "", err
		}
		defer func() { _ = response.Body.Close() }()
		return bodyOf(response)
	}
}

// askHTTP10 asks as health checks do that are as old as their protocol: without naming a host.
func askHTTP10(ctx context.Context, target string) (string, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", target)
	if err != nil {
		return "", err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprint(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return "", err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	return bodyOf(response)
}

// bodyOf reads an answer. One that is not 200 is an error.
func bodyOf(response *http.Response) (string, error) {
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.200s", response.Status, body)
	}
	return string(body), err
}

// askLines reads one line, after saying one if first.
func askLines(first bool) asker {
	return func(ctx context.Context, target string) (string, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", target)
		if err != nil {
			return "", err
		}
		stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
		defer stop()
		defer func() { _ = conn.Close() }()
		if first {
			if _, err := fmt.Fprintln(conn, "hello"); err != nil {
				return "", err
			}
		}
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil && ctx.Err() != nil {
			err = fmt.Errorf("nothing came: %w", ctx.Err())
		}
		return line, err
	}
}
