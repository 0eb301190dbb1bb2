// SPDX-License-Identifier: MIT
//
// The js-libp2p peer of the interoperation tests. ../README.md has the command protocol that all
// peers speak; this file is the plainest js-libp2p node that can answer it, with HTTP/1.1 written
// out by hand, because a libp2p stream is no Node socket.
//
// The hard thing: js-libp2p's streams deliver by event, and the end of what the other side sends may
// arrive before anyone listens. class Reader below is the one place that knows in which order
// 'message', 'end' and 'close' may come.

import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { autoNAT } from '@libp2p/autonat'
import { autoNATv2 } from '@libp2p/autonat-v2'
import { circuitRelayServer, circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { dcutr } from '@libp2p/dcutr'
import { identify, identifyPush } from '@libp2p/identify'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { mdns } from '@libp2p/mdns'
import { peerIdFromString } from '@libp2p/peer-id'
import { ping } from '@libp2p/ping'
import { preSharedKey } from '@libp2p/pnet'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'

const ECHO = '/conduit-test/echo/1.0.0'
const PERF = '/perf/1.0.0'
const HTTP = '/http/1.1'
const RAW_CODEC = 0x55
const SHA2_256 = 0x12
const CHUNK_BYTES = 64 * 1024
const COMMAND_TIMEOUT_MS = 30_000
const HTTP_HEAD_MAX = 32 * 1024

const { values: options } = parseArgs({
  options: {
    listen: { type: 'string', default: '/ip4/127.0.0.1/tcp/0' },
    kad: { type: 'string', default: '/conduit/kad/1.0.0' },
    'idle-s': { type: 'string', default: '60' },
    relay: { type: 'string' },
    mdns: { type: 'string' },
    autonat: { type: 'string' },
    observed: { type: 'string' },
    psk: { type: 'string' }
  }
})

// ---- bytes of a stream, in order, with its end -------------------------------------------------

class Reader {
  #chunks = []
  #ended = false
  #error = null
  #wake = null

  constructor (stream) {
    stream.addEventListener('message', evt => {
      this.#chunks.push(Buffer.from(evt.data.subarray()))
      this.#signal()
    })
    stream.addEventListener('end', () => { this.#ended = true; this.#signal() })
    stream.addEventListener('close', evt => {
      this.#ended = true
      this.#error = evt.error ?? null
      this.#signal()
    })
    // 'end' comes once, and may have come during protocol negotiation, which then put back what it
    // had read too much: that is delivered in a microtask which the first line here has queued.
    if (stream.readableEnded) queueMicrotask(() => { this.#ended = true; this.#signal() })
    if (stream.status === 'reset' || stream.status === 'aborted') {
      this.#error = new Error(`stream was ${stream.status} before it was read`)
    }
  }

  #signal () {
    this.#wake?.()
    this.#wake = null
  }

  // The next chunk, or null at the other side's FIN. A reset is an exception.
  async next () {
    while (this.#chunks.length === 0) {
      if (this.#error != null) throw this.#error
      if (this.#ended) return null
      await new Promise(resolve => { this.#wake = resolve })
    }
    return this.#chunks.shift()
  }

  unread (chunk) {
    if (chunk.length > 0) this.#chunks.unshift(chunk)
  }

  // Exactly n bytes.
  async exactly (n) {
    const parts = []
    let have = 0
    while (have < n) {
      const chunk = await this.next()
      if (chunk == null) throw new Error(`stream ended ${n - have} bytes early`)
      const part = chunk.subarray(0, n - have)
      this.unread(chunk.subarray(part.length))
      parts.push(part)
      have += part.length
    }
    return Buffer.concat(parts)
  }

  // Up to and including the separator.
  async until (separator, max) {
    let have = Buffer.alloc(0)
    for (;;) {
      const at = have.indexOf(separator)
      if (at >= 0) {
        this.unread(have.subarray(at + separator.length))
        return have.subarray(0, at + separator.length)
      }
      if (have.length > max) throw new Error('HTTP head or chunk size too long')
      const chunk = await this.next()
      if (chunk == null) throw new Error('stream ended inside an HTTP head')
      have = Buffer.concat([have, chunk])
    }
  }

  async rest () {
    const parts = []
    for (let chunk; (chunk = await this.next()) != null;) parts.push(chunk)
    return Buffer.concat(parts)
  }
}

async function write (stream, bytes) {
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
    if (!stream.send(bytes.subarray(at, at + CHUNK_BYTES))) {
      await stream.onDrain({ signal: AbortSignal.timeout(COMMAND_TIMEOUT_MS) })
    }
  }
}

// ---- HTTP/1.1, one exchange per stream ---------------------------------------------------------

async function readHead (reader) {
  const lines = (await reader.until('\r\n\r\n', HTTP_HEAD_MAX)).toString('latin1').split('\r\n')
  const headers = {}
  for (const line of lines.slice(1)) {
    const colon = line.indexOf(':')
    if (colon > 0) headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim()
  }
  return { start: lines[0].split(' '), headers }
}

// The body, part by part. An exception is a body that did not come to its proper end.
async function * bodyOf (reader, headers, isResponse) {
  if (headers['transfer-encoding']?.toLowerCase() === 'chunked') {
    for (;;) {
      const size = parseInt((await reader.until('\r\n', 1024)).toString('latin1'), 16)
      if (Number.isNaN(size)) throw new Error('bad chunk size')
      const part = await reader.exactly(size)
      if ((await reader.exactly(2)).toString() !== '\r\n') throw new Error('bad chunk end')
      if (size === 0) return
      yield part
    }
  } else if (headers['content-length'] != null) {
    yield await reader.exactly(Number(headers['content-length']))
  } else if (isResponse) {
    for (let part; (part = await reader.next()) != null;) yield part
  }
}

async function readBody (reader, headers, isResponse) {
  const parts = []
  for await (const part of bodyOf(reader, headers, isResponse)) parts.push(part)
  return Buffer.concat(parts)
}

async function request (node, command) {
  const { addr, method = 'GET', path = '/', headers = {}, body, half_close: halfClose } = command
  const stream = await open(node, addr, HTTP)
  const reader = new Reader(stream)
  const payload = Buffer.from(body ?? '')
  const head = { host: peerOf(addr), connection: 'close', ...headers }
  if (body != null || method === 'POST') head['content-length'] = payload.length
  const lines = Object.entries(head).map(([name, value]) => `${name}: ${value}\r\n`)
  await write(stream, Buffer.concat([
    Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`), payload
  ]))
  if (halfClose) await stream.close(signal())
  let answer
  do { answer = await readHead(reader) } while (/^1\d\d$/.test(answer.start[1]))
  return { stream, reader, status: Number(answer.start[1]), headers: answer.headers }
}

async function serveHttp (stream) {
  const reader = new Reader(stream)
  const { start: [method, target], headers } = await readHead(reader)
  const body = await readBody(reader, headers, false)
  const url = new URL(target, 'http://peer')
  const send = (status, type, bytes) => write(stream, Buffer.concat([
    Buffer.from(`HTTP/1.1 ${status}\r\ncontent-type: ${type}\r\ncontent-length: ${bytes.length}\r\n` +
      'connection: close\r\n\r\n'), bytes
  ]))
  if (method === 'GET' && url.pathname === '/hello') {
    await send('200 OK', 'text/plain', Buffer.from('hello from js'))
  } else if (method === 'POST' && url.pathname === '/echo') {
    await send('200 OK', headers['content-type'] ?? 'application/octet-stream', body)
  } else if (url.pathname === '/sse') {
    const number = name => Number(url.searchParams.get(name) ?? NaN)
    await serveEvents(stream, number('n'), number('cut'))
  } else if (method === 'GET' && url.pathname === '/.well-known/libp2p/protocols') {
    await send('200 OK', 'application/json',
      Buffer.from(JSON.stringify({ protocols: { '/conduit-test/http': { path: '/' } } })))
  } else {
    await send('404 Not Found', 'text/plain', Buffer.from('not found'))
  }
  await stream.close()
}

async function serveEvents (stream, n, cut) {
  const chunk = text => Buffer.from(`${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`)
  await write(stream, Buffer.from('HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n' +
    'cache-control: no-cache\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n'))
  for (let i = 0; i < n; i++) {
    if (i === cut) throw new Error('cut, as asked')
    await write(stream, chunk(`data: {"i":${i}}\n\n`))
  }
  await write(stream, Buffer.concat([chunk('data: [DONE]\n\n'), Buffer.from('0\r\n\r\n')]))
}

function eventsOf (text) {
  return text.split(/\r?\n\r?\n/)
    .map(event => event.split(/\r?\n/).filter(line => line.startsWith('data:'))
      .map(line => line.slice(5).replace(/^ /, '')).join('\n'))
    .filter(data => data !== '')
}

// ---- what we serve -----------------------------------------------------------------------------

async function serveEcho (stream) {
  const reader = new Reader(stream)
  for (let chunk; (chunk = await reader.next()) != null;) await write(stream, chunk)
  await stream.close()
}

async function servePerf (stream) {
  const reader = new Reader(stream)
  const want = Number((await reader.exactly(8)).readBigUInt64BE())
  while (await reader.next() != null);
  const block = Buffer.alloc(CHUNK_BYTES)
  for (let sent = 0; sent < want; sent += block.length) {
    await write(stream, block.subarray(0, Math.min(block.length, want - sent)))
  }
  await stream.close()
}

// ---- commands ----------------------------------------------------------------------------------

const signal = () => ({ signal: AbortSignal.timeout(COMMAND_TIMEOUT_MS) })
// A relay's circuits, limited as they are, are for us too.
const anyConnection = () => ({ ...signal(), runOnLimitedConnection: true })
const peerOf = addr => addr.slice(addr.lastIndexOf('/p2p/') + 5)
const since = start => performance.now() - start
const cidOf = text => CID.createV1(RAW_CODEC,
  Digest.create(SHA2_256, createHash('sha256').update(text).digest()))

// js-libp2p opens a new circuit each time a relayed address is dialled, and then drops one of the two.
async function connect (node, addr) {
  const there = node.getConnections(peerIdFromString(peerOf(addr))).find(c => c.status === 'open')
  return there ?? await node.dial(multiaddr(addr), signal())
}

async function open (node, addr, protocol) {
  return (await connect(node, addr)).newStream(protocol, anyConnection())
}

async function echoOnce (node, addr, bytes) {
  const stream = await open(node, addr, ECHO)
  const reader = new Reader(stream)
  const sent = randomBytes(bytes)
  const writing = write(stream, sent).then(() => stream.close(signal()))
  const [got] = await Promise.all([reader.rest(), writing])
  if (!got.equals(sent)) throw new Error(`echo differs: sent ${bytes}, got ${got.length} bytes`)
}

async function bulk (node, { addr, up = 0, down = 0 }) {
  const stream = await open(node, addr, PERF)
  const reader = new Reader(stream)
  const head = Buffer.alloc(8)
  head.writeBigUInt64BE(BigInt(down))
  const start = performance.now()
  await write(stream, head)
  const block = Buffer.alloc(CHUNK_BYTES)
  for (let sent = 0; sent < up; sent += block.length) {
    await write(stream, block.subarray(0, Math.min(block.length, up - sent)))
  }
  await stream.close(signal())
  // The upload has ended when its first answer is there: a byte, or the other side's FIN.
  let chunk = await reader.next()
  const upMs = since(start)
  let got = 0
  for (; chunk != null; chunk = await reader.next()) got += chunk.length
  if (got !== down) throw new Error(`asked for ${down} bytes, got ${got}`)
  return { up_ms: upMs, down_ms: since(start) - upMs }
}

// js-libp2p opens a stream for each ping, and rust-libp2p keeps only the newest; so when our own DHT
// pings a new peer just now, one of the two is lost, and tried again.
async function pingOnce (node, { addr }) {
  await connect(node, addr)
  for (let attempt = 0; ; attempt++) {
    try {
      const start = performance.now()
      await node.services.ping.ping(peerIdFromString(peerOf(addr)), signal())
      return { ms: since(start) }
    } catch (err) {
      if (attempt === 2) throw err
    }
  }
}

// The DHT adds a peer by itself when it connects, unless its ping fails just then, as it does when
// the connection is closed and opened again.
async function kadAdd (node, { addr }) {
  const connection = await connect(node, addr)
  const table = node.services.dht.routingTable
  for (let i = 0; i < 100; i++) {
    if (await table.find(connection.remotePeer) != null) return {}
    await new Promise(resolve => setTimeout(resolve, 50))
    if (i % 20 === 19) await table.add(connection.remotePeer, signal())
  }
  throw new Error('the peer did not get into the routing table')
}

// ---- being reached: circuits through relays, hole punching, AutoNAT, mDNS ----------------------

const isRelayed = addr => String(addr).includes('/p2p-circuit')

// Listening at a relay is reserving there.
async function reserve (node, { addr }) {
  await connect(node, addr)
  await node.components.transportManager.listen([multiaddr(addr).encapsulate('/p2p-circuit')])
  const addrs = node.getMultiaddrs().map(String)
    .filter(a => isRelayed(a) && a.includes(`/p2p/${peerOf(addr)}/`))
  if (addrs.length === 0) throw new Error('the reservation names no address')
  return { addrs }
}

// js-libp2p asks the AutoNAT servers that it meets, by itself and only about public addresses; what they
// said shows in its list of addresses.
async function autonat (node, { addr }) {
  await connect(node, addr)
  for (let i = 0; i < 500; i++) {
    const tested = node.components.addressManager.getAddressesWithMetadata()
      .find(a => a.type === 'transport' && a.lastVerified > 0)
    if (tested != null) {
      return { reach: tested.verified ? 'public' : 'private', addr: String(tested.multiaddr) }
    }
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  throw new Error('no AutoNAT server has said anything')
}

const commands = {
  reserve,
  autonat,
  async conns (node, { addr }) {
    const all = node.getConnections(peerIdFromString(peerOf(addr)))
      .filter(c => c.status === 'open')
    const relayed = all.filter(c => isRelayed(c.remoteAddr)).length
    return { direct: all.length - relayed, relayed }
  },
  async mdns_peers () {
    return { peers: [...lan] }
  },
  async dial (node, { addr }) {
    const start = performance.now()
    const connection = await connect(node, addr)
    return { peer: connection.remotePeer.toString(), ms: since(start) }
  },
  async close (node, { addr }) {
    await node.hangUp(multiaddr(addr), signal())
    return {}
  },
  ping: pingOnce,
  async identify (node, { addr }) {
    const connection = await connect(node, addr)
    const id = await node.services.identify.identify(connection, signal())
    return {
      peer: id.peerId.toString(),
      protocols: id.protocols,
      agent: id.agentVersion,
      protocolVersion: id.protocolVersion,
      listenAddrs: id.listenAddrs.map(String),
      observedAddr: id.observedAddr?.toString()
    }
  },
  async echo (node, { addr, streams = 1, bytes = 1 }) {
    await connect(node, addr)
    const start = performance.now()
    await Promise.all(Array.from({ length: streams }, () => echoOnce(node, addr, bytes)))
    return { streams, bytes, ms: since(start) }
  },
  async http (node, command) {
    const { stream, reader, status, headers } = await request(node, command)
    const body = (await readBody(reader, headers, true)).toString()
    await stream.close(signal())
    return { status, headers, body }
  },
  async sse (node, command) {
    const method = command.body == null ? 'GET' : 'POST'
    const { stream, reader, status, headers } = await request(node, { ...command, method })
    const parts = []
    let orderly = true
    try {
      for await (const part of bodyOf(reader, headers, true)) parts.push(part)
      await stream.close(signal())
    } catch {
      orderly = false
    }
    return { status, events: eventsOf(Buffer.concat(parts).toString()), orderly }
  },
  kad_add: kadAdd,
  async find_node (node, { peer }) {
    const id = peerIdFromString(peer)
    try {
      for await (const event of node.services.dht.findPeer(id, { useCache: false, ...signal() })) {
        if (event.name === 'FINAL_PEER') {
          return { found: true, addrs: event.peer.multiaddrs.map(String) }
        }
      }
    } catch (err) {
      if (err.name !== 'NotFoundError') throw err
    }
    return { found: false, addrs: [] }
  },
  async provide (node, { key }) {
    for await (const event of node.services.dht.provide(cidOf(key), signal())) void event
    return {}
  },
  async find_providers (node, { key }) {
    const found = new Map()
    for await (const event of node.services.dht.findProviders(cidOf(key), signal())) {
      if (event.name !== 'PROVIDER') continue
      for (const { id, multiaddrs } of event.providers) {
        found.set(id.toString(), { peer: id.toString(), addrs: multiaddrs.map(String) })
      }
    }
    return { providers: [...found.values()] }
  },
  bulk,
  async connect1 (node, { addr, n = 1 }) {
    const ms = []
    for (let i = 0; i < n; i++) {
      await node.hangUp(multiaddr(addr), signal())
      const start = performance.now()
      await echoOnce(node, addr, 1)
      ms.push(since(start))
    }
    return { ms }
  },
  async http1 (node, { addr, n = 1 }) {
    const ms = []
    for (let i = 0; i < n; i++) {
      await node.hangUp(multiaddr(addr), signal())
      const start = performance.now()
      const { stream, reader, headers } = await request(node, { addr, path: '/hello' })
      ms.push(since(start))
      await readBody(reader, headers, true)
      await stream.close(signal())
    }
    return { ms }
  },
  async quit (node) {
    setTimeout(() => process.exit(0), 500).unref()
    return {}
  }
}

// ---- the program -------------------------------------------------------------------------------

const relayLimits = options.relay === 'unlimited' ? { applyDefaultLimit: false } : {}
const reach = {
  dcutr: dcutr(),
  ...(options.relay != null && { relay: circuitRelayServer({ reservations: relayLimits }) }),
  ...(options.autonat === '1' && { autonat: autoNAT() }),
  ...(options.autonat === '2' && { autonat: autoNATv2() })
}

// The node's own event tells of every peer that it hears of, however that came about.
const lan = new Set()
const watchedMdns = components => {
  const service = mdns({ interval: 1000 })(components)
  service.addEventListener('peer', evt => lan.add(evt.detail.id.toString()))
  return service
}

const node = await createLibp2p({
  addresses: { listen: [options.listen] },
  transports: [tcp(), circuitRelayTransport()],
  ...(options.psk != null && {
    connectionProtector: preSharedKey({ psk: readFileSync(options.psk) })
  }),
  ...(options.mdns === 'on' && { peerDiscovery: [watchedMdns] }),
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  // By default a host may connect five times a second and ten at once: less than a test does.
  connectionManager: { inboundConnectionThreshold: 10_000, maxIncomingPendingConnections: 1_000 },
  services: {
    ...reach,
    identify: identify({ maxInboundStreams: 8, maxOutboundStreams: 8 }),
    identifyPush: identifyPush(),
    ping: ping({ maxInboundStreams: 8, maxOutboundStreams: 8 }),
    dht: kadDHT({
      protocol: options.kad,
      clientMode: false,
      allowQueryWithZeroPeers: true,
      // The default for /ipfs/kad drops private addresses, and loopback is all a test has.
      peerInfoMapper: passthroughMapper
    })
  }
})

const served = handler => stream => handler(stream).catch(err => {
  process.stderr.write(`${stream.protocol}: ${err.message}\n`)
  stream.abort(err)
})
const many = {
  maxInboundStreams: 1_000, maxOutboundStreams: 1_000, runOnLimitedConnection: true
}
await node.handle(ECHO, served(serveEcho), many)
await node.handle(PERF, served(servePerf), many)
await node.handle(HTTP, served(serveHttp), many)
await node.services.dht.setMode('server')

// js-libp2p tells nobody of a public address before AutoNAT has confirmed it.
const listens = node.components.transportManager.getAddrs()
if (options.autonat == null) {
  listens.forEach(a => node.components.addressManager.confirmObservedAddr(a, { type: 'transport' }))
}

const say = line => process.stdout.write(JSON.stringify(line) + '\n')
const { version } = createRequire(import.meta.url)('./node_modules/libp2p/package.json')
say({
  event: 'ready',
  lang: 'js',
  version: `js-libp2p ${version}`,
  peer: node.peerId.toString(),
  addrs: listens.map(a => `${a}/p2p/${node.peerId}`)
})

async function obey (line) {
  let id = null
  try {
    const command = JSON.parse(line)
    id = command.id
    if (!Object.hasOwn(commands, command.cmd)) throw new Error(`unknown command ${command.cmd}`)
    say({ id, ok: true, ...await commands[command.cmd](node, command) })
    if (command.cmd === 'quit') await node.stop().then(() => process.exit(0))
  } catch (err) {
    say({ id, ok: false, error: `${err.name}: ${err.message}` })
  }
}

createInterface({ input: process.stdin })
  .on('line', obey)
  .on('close', () => process.exit(0))
