// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
	"github.com/libp2p/go-libp2p/p2p/host/autonat"
	"github.com/libp2p/go-libp2p/p2p/protocol/autonatv2"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// Being reached: circuits through relays, hole punching (by itself, as soon as a relayed connection
// comes in), AutoNAT in both versions, mDNS.

// relayService keeps the default limits, but names private addresses in reservations too.
func relayService(unlimited bool) libp2p.Option {
	opts := []relay.Option{relay.WithReservationAddressFilter(func(ma.Multiaddr) bool { return true })}
	if unlimited {
		opts = append(opts, relay.WithInfiniteLimits())
	}
	return libp2p.EnableRelayService(opts...)
}

// startReach starts what is no option of the host. AutoNAT v2 is made here, not by the host, so
// that a command may ask one server about one address.
func (n *node) startReach(o options) error {
	dialer, err := libp2p.New(libp2p.NoListenAddrs, libp2p.DisableRelay())
	if err != nil {
		return err
	}
	n.autonat, err = autonatv2.New(dialer, autonatv2.AllowPrivateAddrs)
	if err != nil {
		return err
	}
	if err := n.autonat.Start(n.host); err != nil {
		return err
	}
	if o.mdns == "on" {
		return mdns.NewMdnsService(n.host, "", n).Start()
	}
	return nil
}

// HandlePeerFound is called by mDNS.
func (n *node) HandlePeerFound(info peer.AddrInfo) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lan[info.ID] = true
}

// withCircuits are the addresses that the host tells others.
func (n *node) withCircuits(addrs []ma.Multiaddr) []ma.Multiaddr {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append(addrs[:len(addrs):len(addrs)], n.circuits...)
}

func (n *node) await(ctx context.Context, done func() bool) error {
	for !done() {
		if err := pause(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (n *node) cmdReserve(ctx context.Context, c *command) (answer, error) {
	info, err := peer.AddrInfoFromString(c.Addr)
	if err != nil {
		return nil, err
	}
	reserved, err := client.Reserve(ctx, n.host, *info)
	if err != nil {
		return nil, err
	}
	var circuits []ma.Multiaddr
	for _, addr := range reserved.Addrs { // each ends in /p2p/<relay>
		circuits = append(circuits, ma.Join(addr, ma.StringCast("/p2p-circuit")))
	}
	if len(circuits) == 0 {
		return nil, errors.New("the reservation names no address")
	}
	n.mu.Lock()
	n.circuits = append(n.circuits, circuits...)
	n.mu.Unlock()
	// The host asks for its addresses again every few seconds; until then it tells nobody of these.
	err = n.await(ctx, func() bool { return slices.ContainsFunc(n.host.Addrs(), circuits[0].Equal) })
	if err != nil {
		return nil, err
	}
	full, err := peer.AddrInfoToP2pAddrs(&peer.AddrInfo{ID: n.host.ID(), Addrs: circuits})
	return answer{"addrs": texts(full)}, err
}

func (n *node) cmdConns(_ context.Context, c *command) (answer, error) {
	info, err := peer.AddrInfoFromString(c.Addr)
	if err != nil {
		return nil, err
	}
	direct, relayed := 0, 0
	for _, conn := range n.host.Network().ConnsToPeer(info.ID) {
		if _, err := conn.RemoteMultiaddr().ValueForProtocol(ma.P_CIRCUIT); err == nil {
			relayed++
		} else {
			direct++
		}
	}
	return answer{"direct": direct, "relayed": relayed}, nil
}

func (n *node) cmdMdnsPeers(context.Context, *command) (answer, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	peers := []string{}
	for p := range n.lan {
		peers = append(peers, p.String())
	}
	return answer{"peers": peers}, nil
}

func (n *node) cmdAutonat(ctx context.Context, c *command) (answer, error) {
	server, err := n.dial(ctx, c.Addr)
	if err != nil {
		return nil, err
	}
	if _, err := n.identified(ctx, server); err != nil {
		return nil, err
	}
	// The server has told it how it is seen, which becomes an address of the host's a little later.
	if err := n.await(ctx, func() bool { return slices.ContainsFunc(n.host.Addrs(), manet.IsPublicAddr) }); err != nil {
		return nil, fmt.Errorf("no public address: %w", err)
	}
	if c.Version == 1 {
		return n.autonatV1(ctx, server)
	}
	return n.autonatV2(ctx)
}

func (n *node) autonatV1(ctx context.Context, server peer.ID) (answer, error) {
	err := autonat.NewAutoNATClient(n.host, n.host.Addrs, nil).DialBack(ctx, server)
	switch {
	case err == nil:
		return answer{"reach": "public", "addr": n.host.Addrs()[0].String()}, nil
	case autonat.IsDialError(err):
		return answer{"reach": "private"}, nil
	}
	return nil, err
}

// autonatV2 asks a server that the client picks among those it is connected to.
func (n *node) autonatV2(ctx context.Context) (answer, error) {
	var requests []autonatv2.Request
	for _, addr := range n.host.Addrs() {
		requests = append(requests, autonatv2.Request{Addr: addr, SendDialData: true})
	}
	for {
		result, err := n.autonat.GetReachability(ctx, requests)
		if errors.Is(err, autonatv2.ErrNoPeers) && pause(ctx) == nil {
			continue
		}
		switch {
		case err != nil:
			return nil, err
		case result.AllAddrsRefused:
			return nil, errors.New("the server dials none of our addresses")
		case result.Reachability == network.ReachabilityPublic:
			return answer{"reach": "public", "addr": result.Addr.String()}, nil
		}
		return answer{"reach": "private", "addr": result.Addr.String()}, nil
	}
}
