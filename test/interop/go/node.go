// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/pnet"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/routing"
	"github.com/libp2p/go-libp2p/p2p/host/observedaddrs"
	"github.com/libp2p/go-libp2p/p2p/protocol/autonatv2"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multihash"
)

type options struct {
	listen, kad, relay, mdns, psk string
}

type node struct {
	host    host.Host
	dht     *dht.IpfsDHT
	autonat *autonatv2.AutoNAT

	mu       sync.Mutex
	ids      map[peer.ID]event.EvtPeerIdentificationCompleted // the last identify message of each peer
	circuits []ma.Multiaddr                                   // our addresses at relays
	lan      map[peer.ID]bool                                 // who was found by mDNS
}

func newNode(o options) (*node, error) {
	// One observer, the relay, is all that a test has; the default is four.
	observedaddrs.ActivationThresh = 1
	n := &node{ids: map[peer.ID]event.EvtPeerIdentificationCompleted{}, lan: map[peer.ID]bool{}}
	configured, err := n.configure(o)
	if err != nil {
		return nil, err
	}
	h, err := libp2p.New(configured...)
	if err != nil {
		return nil, err
	}
	n.host = h
	identified, err := h.EventBus().Subscribe(new(event.EvtPeerIdentificationCompleted))
	if err != nil {
		return nil, err
	}
	go func() {
		for e := range identified.Out() {
			id := e.(event.EvtPeerIdentificationCompleted)
			n.mu.Lock()
			n.ids[id.Peer] = id
			n.mu.Unlock()
		}
	}()
	n.dht, err = dht.New(context.Background(), h,
		dht.Mode(dht.ModeServer), dht.V1ProtocolOverride(protocol.ID(o.kad)))
	if err != nil {
		return nil, err
	}
	if err := n.startReach(o); err != nil {
		return nil, err
	}
	n.serveStreams()
	return n, n.serveHTTP()
}

func (n *node) configure(o options) ([]libp2p.Option, error) {
	configured := []libp2p.Option{
		libp2p.ListenAddrStrings(o.listen),
		libp2p.EnableRelay(),
		libp2p.EnableHolePunching(),
		libp2p.EnableNATService(),
		libp2p.AddrsFactory(n.withCircuits),
	}
	if o.relay != "" {
		configured = append(configured, relayService(o.relay == "unlimited"), libp2p.ForceReachabilityPublic())
	}
	if o.psk != "" {
		file, err := os.Open(o.psk)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		psk, err := pnet.DecodeV1PSK(file)
		if err != nil {
			return nil, err
		}
		// The other transports cannot be private.
		configured = append(configured, libp2p.PrivateNetwork(psk), libp2p.Transport(tcp.NewTCPTransport))
	}
	return configured, nil
}

// dial connects to /…/p2p/ID, or does nothing if it is connected.
func (n *node) dial(ctx context.Context, addr string) (peer.ID, error) {
	info, err := peer.AddrInfoFromString(addr)
	if err != nil {
		return "", err
	}
	return info.ID, n.host.Connect(ctx, *info)
}

// identified waits for what the peer said of itself; Connect returns only shortly before.
func (n *node) identified(ctx context.Context, p peer.ID) (event.EvtPeerIdentificationCompleted, error) {
	for {
		n.mu.Lock()
		id, ok := n.ids[p]
		n.mu.Unlock()
		if ok {
			return id, nil
		}
		if err := pause(ctx); err != nil {
			return id, fmt.Errorf("no identify message came: %w", err)
		}
	}
}

// awaitInTable waits until the DHT has checked the peer and taken it into its routing table, which
// it does by itself with every server it is connected to.
func (n *node) awaitInTable(ctx context.Context, p peer.ID) error {
	for n.dht.RoutingTable().Find(p) == "" {
		if err := pause(ctx); err != nil {
			return fmt.Errorf("the peer did not get into the routing table: %w", err)
		}
	}
	return nil
}

// findNode asks the network for the peer. FindPeer would answer from the address book of a host
// that is connected to it, so the answers to our queries are watched instead.
func (n *node) findNode(ctx context.Context, p peer.ID) ([]ma.Multiaddr, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ctx, events := routing.RegisterForQueryEvents(ctx)
	failed := make(chan error, 1)
	go func() {
		_, err := n.dht.GetClosestPeers(ctx, string(p))
		failed <- err
		cancel()
	}()
	var addrs []ma.Multiaddr
	for e := range events {
		if e.Type != routing.PeerResponse {
			continue
		}
		for _, info := range e.Responses {
			if info.ID == p && len(addrs) == 0 {
				addrs = info.Addrs
			}
		}
	}
	return addrs, <-failed
}

func (n *node) fullAddrs() []ma.Multiaddr {
	addrs, _ := peer.AddrInfoToP2pAddrs(&peer.AddrInfo{ID: n.host.ID(), Addrs: n.host.Addrs()})
	return addrs
}

// cidOf is the raw CID of the text; the DHT uses its multihash, 1220‖sha256(text), as the key.
func cidOf(text string) cid.Cid {
	digest := sha256.Sum256([]byte(text))
	hash, err := multihash.Encode(digest[:], multihash.SHA2_256)
	if err != nil {
		panic(err) // a 32-byte digest always encodes
	}
	return cid.NewCidV1(cid.Raw, hash)
}

func libp2pVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			if dep.Path == "github.com/libp2p/go-libp2p" {
				return dep.Version
			}
		}
	}
	return "unknown"
}

func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(20 * time.Millisecond):
		return nil
	}
}
