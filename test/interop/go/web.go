// SPDX-License-Identifier: MIT

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/net/gostream"
)

// HTTP/1.1 over libp2p streams with net/http on both sides, one exchange per stream.
const httpProtocol = protocol.ID("/http/1.1")

func (n *node) serveHTTP() error {
	// A peer may half-close after its request; net/http takes EOF for the client's departure.
	listener, err := gostream.Listen(n.host, httpProtocol, gostream.IgnoreEOF())
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hello from go")
	})
	mux.HandleFunc("POST /echo", serveHTTPEcho)
	mux.HandleFunc("/sse", serveEvents)
	mux.HandleFunc("GET /.well-known/libp2p/protocols", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"protocols":{"/conduit-test/http":{"path":"/"}}}`)
	})
	server := &http.Server{Handler: mux}
	server.SetKeepAlivesEnabled(false)
	go func() {
		fmt.Fprintln(os.Stderr, "http server ended:", server.Serve(listener))
	}()
	return nil
}

func serveHTTPEcho(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body)
}

func serveEvents(w http.ResponseWriter, r *http.Request) {
	count, err := strconv.Atoi(r.URL.Query().Get("n"))
	if err != nil {
		count = 50
	}
	cut, err := strconv.Atoi(r.URL.Query().Get("cut"))
	if err != nil {
		cut = -1
	}
	io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w).Flush
	for i := range count {
		if i == cut {
			panic(http.ErrAbortHandler) // net/http's way to break off
		}
		fmt.Fprintf(w, "data: {\"i\":%d}\n\n", i)
		flush()
	}
	io.WriteString(w, "data: [DONE]\n\n")
}

func (n *node) cmdHTTP(ctx context.Context, c *command) (answer, error) {
	response, err := n.request(ctx, c, c.Method)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	headers := map[string]string{}
	for name := range response.Header {
		headers[strings.ToLower(name)] = response.Header.Get(name)
	}
	if response.ContentLength >= 0 { // net/http takes it out of the headers
		headers["content-length"] = strconv.FormatInt(response.ContentLength, 10)
	}
	return answer{"status": response.StatusCode, "headers": headers, "body": string(body)}, err
}

// cmdHTTP1 measures from no connection at all to the head of the answer, again and again.
func (n *node) cmdHTTP1(ctx context.Context, c *command) (answer, error) {
	times := []float64{}
	for range max(c.N, 1) {
		if _, err := n.cmdClose(ctx, c); err != nil {
			return nil, err
		}
		start := time.Now()
		response, err := n.request(ctx, &command{Addr: c.Addr, Path: "/hello"}, http.MethodGet)
		if err != nil {
			return nil, err
		}
		times = append(times, ms(start))
		_, err = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if err != nil {
			return nil, err
		}
	}
	return answer{"ms": times}, nil
}

func (n *node) cmdSSE(ctx context.Context, c *command) (answer, error) {
	method := http.MethodGet
	if c.Body != nil {
		method = http.MethodPost
	}
	response, err := n.request(ctx, c, method)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return answer{"status": response.StatusCode, "events": eventsOf(string(body)), "orderly": err == nil}, nil
}

// request sends one request on a stream of its own; closing the answer's body closes the stream.
func (n *node) request(ctx context.Context, c *command, method string) (*http.Response, error) {
	p, err := n.dial(ctx, c.Addr)
	if err != nil {
		return nil, err
	}
	var body io.Reader
	if c.Body != nil {
		body = strings.NewReader(*c.Body)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://"+p.String()+c.Path, body)
	if err != nil {
		return nil, err
	}
	for name, value := range c.Headers {
		request.Header.Set(name, value)
	}
	request.Close = true
	return n.roundTrip(ctx, p, request, c.HalfClose)
}

func (n *node) roundTrip(ctx context.Context, p peer.ID, request *http.Request, halfClose bool) (*http.Response, error) {
	s, err := n.open(ctx, p, httpProtocol)
	if err != nil {
		return nil, err
	}
	if err := request.Write(s); err != nil {
		s.Reset()
		return nil, err
	}
	if halfClose {
		if err := s.CloseWrite(); err != nil {
			s.Reset()
			return nil, err
		}
	}
	response, err := http.ReadResponse(bufio.NewReader(s), request)
	if err != nil {
		s.Reset()
		return nil, err
	}
	response.Body = closing{response.Body, s}
	return response, nil
}

// closing is a body that ends its stream too.
type closing struct {
	io.ReadCloser
	stream io.Closer
}

func (c closing) Close() error {
	c.ReadCloser.Close()
	return c.stream.Close()
}

func eventsOf(body string) []string {
	events := []string{}
	for _, event := range strings.Split(strings.ReplaceAll(body, "\r\n", "\n"), "\n\n") {
		var data []string
		for _, line := range strings.Split(event, "\n") {
			if text, ok := strings.CutPrefix(line, "data:"); ok {
				data = append(data, strings.TrimPrefix(text, " "))
			}
		}
		if len(data) > 0 {
			events = append(events, strings.Join(data, "\n"))
		}
	}
	return events
}
