// SPDX-License-Identifier: MIT

// The go-libp2p peer of the interoperation tests. ../README.md has the command protocol that all
// peers speak. This file reads commands and writes answers; node.go makes the host and the DHT,
// reach.go is about relays, AutoNAT and mDNS, streams.go and web.go are what runs over streams.
//
// Security is left at go-libp2p's default, TLS first and Noise second: a dialler that proposes
// something the other side does not know is part of what is tested.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	ma "github.com/multiformats/go-multiaddr"
)

const commandTimeout = 30 * time.Second

// command has the fields of all commands; each reads the ones it knows.
type command struct {
	ID      json.RawMessage   `json:"id"`
	Cmd     string            `json:"cmd"`
	Addr    string            `json:"addr"`
	Peer    string            `json:"peer"`
	Key     string            `json:"key"`
	Streams int               `json:"streams"`
	Bytes   int               `json:"bytes"`
	Up      int64             `json:"up"`
	Down    int64             `json:"down"`
	N       int               `json:"n"`
	Version int               `json:"version"`
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers"`
	Body    *string           `json:"body"`

	HalfClose bool `json:"half_close"`
}

type answer map[string]any

func main() {
	var o options
	flag.StringVar(&o.listen, "listen", "/ip4/127.0.0.1/tcp/0", "multiaddr to listen on")
	flag.StringVar(&o.kad, "kad", "/conduit/kad/1.0.0", "protocol id of the DHT")
	flag.StringVar(&o.relay, "relay", "", "limited or unlimited: relays for others")
	flag.StringVar(&o.mdns, "mdns", "", "on: finds others on the LAN")
	flag.StringVar(&o.psk, "psk", "", "file with the key of a private network")
	flag.String("autonat", "", "accepted and ignored: go-libp2p's AutoNAT is asked by a command")
	flag.String("observed", "", "accepted and ignored: go-libp2p offers what others see")
	flag.Int("idle-s", 60, "accepted and ignored: go-libp2p keeps idle connections")
	flag.Parse()
	n, err := newNode(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var mu sync.Mutex
	say := func(a answer) {
		line, _ := json.Marshal(a)
		mu.Lock()
		defer mu.Unlock()
		fmt.Println(string(line))
	}
	say(answer{
		"event": "ready", "lang": "go", "version": "go-libp2p " + libp2pVersion(),
		"peer": n.host.ID().String(), "addrs": texts(n.fullAddrs()),
	})
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		line := append([]byte(nil), lines.Bytes()...)
		go func() {
			a, quit := n.answer(line)
			say(a)
			if quit {
				os.Exit(0)
			}
		}()
	}
}

// answer turns one line into one line; an error of any kind is an answer too.
func (n *node) answer(line []byte) (answer, bool) {
	var c command
	if err := json.Unmarshal(line, &c); err != nil {
		return answer{"id": nil, "ok": false, "error": err.Error()}, false
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	ctx = network.WithAllowLimitedConn(ctx, "interop") // a relay's circuits too are for us
	do, known := commands[c.Cmd]
	if !known {
		return answer{"id": c.ID, "ok": false, "error": "unknown command " + c.Cmd}, false
	}
	a, err := do(n, ctx, &c)
	if err != nil {
		return answer{"id": c.ID, "ok": false, "error": err.Error()}, false
	}
	a["id"], a["ok"] = c.ID, true
	return a, c.Cmd == "quit"
}

var commands = map[string]func(*node, context.Context, *command) (answer, error){
	"dial": (*node).cmdDial, "close": (*node).cmdClose, "ping": (*node).cmdPing,
	"identify": (*node).cmdIdentify, "echo": (*node).cmdEcho, "http": (*node).cmdHTTP,
	"sse": (*node).cmdSSE, "kad_add": (*node).cmdKadAdd, "find_node": (*node).cmdFindNode,
	"provide": (*node).cmdProvide, "find_providers": (*node).cmdFindProviders,
	"bulk": (*node).cmdBulk, "connect1": (*node).cmdConnect1, "http1": (*node).cmdHTTP1,
	"reserve": (*node).cmdReserve, "conns": (*node).cmdConns,
	"mdns_peers": (*node).cmdMdnsPeers, "autonat": (*node).cmdAutonat,
	"quit": func(*node, context.Context, *command) (answer, error) { return answer{}, nil },
}

func (n *node) cmdDial(ctx context.Context, c *command) (answer, error) {
	start := time.Now()
	p, err := n.dial(ctx, c.Addr)
	return answer{"peer": p.String(), "ms": ms(start)}, err
}

func (n *node) cmdClose(_ context.Context, c *command) (answer, error) {
	info, err := peer.AddrInfoFromString(c.Addr)
	if err != nil {
		return nil, err
	}
	return answer{}, n.host.Network().ClosePeer(info.ID)
}

func (n *node) cmdPing(ctx context.Context, c *command) (answer, error) {
	p, err := n.dial(ctx, c.Addr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	result := <-ping.Ping(ctx, n.host, p)
	return answer{"ms": result.RTT.Seconds() * 1e3}, result.Error
}

func (n *node) cmdIdentify(ctx context.Context, c *command) (answer, error) {
	p, err := n.dial(ctx, c.Addr)
	if err != nil {
		return nil, err
	}
	id, err := n.identified(ctx, p)
	if err != nil {
		return nil, err
	}
	return answer{
		"peer": id.Peer.String(), "protocols": id.Protocols, "agent": id.AgentVersion,
		"protocolVersion": id.ProtocolVersion, "listenAddrs": texts(id.ListenAddrs),
		"observedAddr": fmt.Sprint(id.ObservedAddr),
	}, nil
}

func (n *node) cmdEcho(ctx context.Context, c *command) (answer, error) {
	p, err := n.dial(ctx, c.Addr)
	if err != nil {
		return nil, err
	}
	streams := max(c.Streams, 1)
	start := time.Now()
	results := make(chan error, streams)
	for range streams {
		go func() { results <- n.echo(ctx, p, c.Bytes) }()
	}
	for range streams {
		if e := <-results; e != nil {
			err = e
		}
	}
	return answer{"streams": streams, "bytes": c.Bytes, "ms": ms(start)}, err
}

func (n *node) cmdKadAdd(ctx context.Context, c *command) (answer, error) {
	p, err := n.dial(ctx, c.Addr)
	if err != nil {
		return nil, err
	}
	return answer{}, n.awaitInTable(ctx, p)
}

func (n *node) cmdFindNode(ctx context.Context, c *command) (answer, error) {
	p, err := peer.Decode(c.Peer)
	if err != nil {
		return nil, err
	}
	addrs, err := n.findNode(ctx, p)
	return answer{"found": len(addrs) > 0, "addrs": texts(addrs)}, err
}

func (n *node) cmdProvide(ctx context.Context, c *command) (answer, error) {
	return answer{}, n.dht.Provide(ctx, cidOf(c.Key), true)
}

func (n *node) cmdFindProviders(ctx context.Context, c *command) (answer, error) {
	found, err := n.dht.FindProviders(ctx, cidOf(c.Key))
	providers := []answer{}
	for _, info := range found {
		providers = append(providers, answer{"peer": info.ID.String(), "addrs": texts(info.Addrs)})
	}
	return answer{"providers": providers}, err
}

func (n *node) cmdBulk(ctx context.Context, c *command) (answer, error) {
	p, err := n.dial(ctx, c.Addr)
	if err != nil {
		return nil, err
	}
	up, down, err := n.bulk(ctx, p, c.Up, c.Down)
	return answer{"up_ms": up, "down_ms": down}, err
}

func (n *node) cmdConnect1(ctx context.Context, c *command) (answer, error) {
	times := []float64{}
	for range max(c.N, 1) {
		if _, err := n.cmdClose(ctx, c); err != nil {
			return nil, err
		}
		start := time.Now()
		p, err := n.dial(ctx, c.Addr)
		if err == nil {
			err = n.echo(ctx, p, 1)
		}
		if err != nil {
			return nil, err
		}
		times = append(times, ms(start))
	}
	return answer{"ms": times}, nil
}

func texts(addrs []ma.Multiaddr) []string {
	out := []string{}
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return out
}

func ms(start time.Time) float64 { return time.Since(start).Seconds() * 1e3 }
