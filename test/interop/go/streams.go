// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

const (
	echoProtocol = protocol.ID("/conduit-test/echo/1.0.0")
	perfProtocol = protocol.ID("/perf/1.0.0") // libp2p's own benchmark
	chunkBytes   = 64 << 10
)

func (n *node) serveStreams() {
	n.host.SetStreamHandler(echoProtocol, serve(func(s network.Stream) error {
		_, err := io.CopyBuffer(s, s, make([]byte, chunkBytes))
		return err
	}))
	n.host.SetStreamHandler(perfProtocol, serve(func(s network.Stream) error {
		var head [8]byte
		if _, err := io.ReadFull(s, head[:]); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, s); err != nil {
			return err
		}
		return writeZeros(s, int64(binary.BigEndian.Uint64(head[:])))
	}))
}

func serve(handle func(network.Stream) error) network.StreamHandler {
	return func(s network.Stream) {
		if err := handle(s); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", s.Protocol(), err)
			s.Reset()
			return
		}
		s.Close()
	}
}

// echo sends random bytes and compares what comes back, up to the end.
func (n *node) echo(ctx context.Context, p peer.ID, size int) error {
	s, err := n.open(ctx, p, echoProtocol)
	if err != nil {
		return err
	}
	defer s.Reset() // nothing to a stream that has ended
	sent := make([]byte, size)
	rand.Read(sent)
	wrote := make(chan error, 1)
	go func() {
		_, err := s.Write(sent)
		if err == nil {
			err = s.CloseWrite()
		}
		wrote <- err
	}()
	got, err := io.ReadAll(s)
	if e := <-wrote; err == nil {
		err = e
	}
	if err == nil && !bytes.Equal(got, sent) {
		err = fmt.Errorf("echo differs: sent %d, got %d bytes", size, len(got))
	}
	return err
}

// bulk returns the milliseconds of the upload, up to its first answer, and of the download.
func (n *node) bulk(ctx context.Context, p peer.ID, up, down int64) (float64, float64, error) {
	s, err := n.open(ctx, p, perfProtocol)
	if err != nil {
		return 0, 0, err
	}
	defer s.Reset()
	start := time.Now()
	if err := binary.Write(s, binary.BigEndian, uint64(down)); err != nil {
		return 0, 0, err
	}
	if err := writeZeros(s, up); err != nil {
		return 0, 0, err
	}
	if err := s.CloseWrite(); err != nil {
		return 0, 0, err
	}
	first, err := io.CopyN(io.Discard, s, 1)
	if err != nil && err != io.EOF {
		return 0, 0, err
	}
	uploaded := ms(start)
	rest, err := io.Copy(io.Discard, s)
	if err == nil && first+rest != down {
		err = fmt.Errorf("asked for %d bytes, got %d", down, first+rest)
	}
	return uploaded, ms(start) - uploaded, err
}

// open makes a stream that dies with the command that needs it.
func (n *node) open(ctx context.Context, p peer.ID, id protocol.ID) (network.Stream, error) {
	s, err := n.host.NewStream(ctx, p, id)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		s.SetDeadline(deadline)
	}
	return s, nil
}

func writeZeros(w io.Writer, size int64) error {
	block := make([]byte, chunkBytes)
	for size > 0 {
		wrote, err := w.Write(block[:min(size, chunkBytes)])
		if err != nil {
			return err
		}
		size -= int64(wrote)
	}
	return nil
}
