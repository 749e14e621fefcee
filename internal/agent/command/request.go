package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func newRequest() *cobra.Command {
	var port uint16
	cmd := &cobra.Command{
		Use:     "request METHOD PATH",
		Short:   "Send a request to Envoy's admin interface or to the agent of this pod",
		Example: "agent request --debug-port=15020 POST drain",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			url := fmt.Sprintf("http://localhost:%d/%s", port, strings.TrimPrefix(args[1], "/"))
			body, err := send(cmd.Context(), args[0], url)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(body)
			return err
		},
	}
	cmd.Flags().Uint16Var(&port, "debug-port", 15000, "15000 for Envoy's admin interface, 15020 for the agent")
	return cmd
}

func newWait() *cobra.Command {
	var url string
	var timeout, period, requestTimeout int
	cmd := &cobra.Command{
		Use:   "wait",
		Short: "Return once the proxy of this pod is ready",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), time.Duration(timeout)*time.Second)
			defer cancel()
			return await(ctx, url, time.Duration(period)*time.Millisecond, time.Duration(requestTimeout)*time.Millisecond)
		},
	}
	f := cmd.Flags()
	f.StringVar(&url, "url", "http://localhost:15021/healthz/ready", "what to ask")
	f.IntVar(&timeout, "timeoutSeconds", 60, "how long to wait in all, in seconds")
	f.IntVar(&period, "periodMillis", 500, "pause between questions, in milliseconds")
	f.IntVar(&requestTimeout, "requestTimeoutMillis", 500, "how long one question may take, in milliseconds")
	return cmd
}

// await asks until the answer is 200 or ctx ends.
func await(ctx context.Context, url string, period, timeout time.Duration) error {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		once, cancel := context.WithTimeout(ctx, timeout)
		_, err := send(once, http.MethodGet, url)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the proxy is not ready: %w", errors.Join(ctx.Err(), err))
		case <-tick.C:
		}
	}
}

func send(ctx context.Context, method, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s %s: %s: %s", method, url, res.Status, strings.TrimSpace(string(body)))
	}
	return body, nil
}
