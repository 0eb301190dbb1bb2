// SPDX-License-Identifier: MIT
//
// The rust-libp2p peer of the interoperation tests. ../../README.md has the command protocol that
// all peers speak. This file reads commands and writes answers; swarm.rs makes the swarm, node.rs owns
// it, raw.rs gives streams, streams.rs and http.rs are what runs over them.
//
// The hard thing is in node.rs: rust-libp2p answers nothing to the caller, it emits events, so each
// command that waits is an entry in a table that an event completes.

mod http;
mod node;
mod raw;
mod streams;
mod swarm;

use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId};
use serde_json::{json, Map, Value};
use tokio::io::{AsyncBufReadExt, BufReader};

use node::{Node, Reach};
use swarm::{Limits, Options};

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> Result<()> {
    let options = parse_options(std::env::args().skip(1))?;
    let node = Node::start(options).await?;
    println!(
        "{}",
        json!({
            "event": "ready",
            "lang": "rust",
            "version": "rust-libp2p 0.57.0",
            "peer": node.peer.to_string(),
            "addrs": texts(&node.addrs),
        })
    );
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let node = node.clone();
        tokio::spawn(async move {
            let quit = line.contains("\"quit\"");
            println!("{}", answer(node, &line).await);
            if quit {
                std::process::exit(0);
            }
        });
    }
    std::process::exit(0);
}

fn parse_options(mut args: impl Iterator<Item = String>) -> Result<Options> {
    let mut options = Options {
        listen: "/ip4/127.0.0.1/tcp/0".parse()?,
        kad: "/conduit/kad/1.0.0".into(),
        idle: Duration::from_secs(60),
        relay: None,
        mdns: false,
        autonat: false,
        observed: false,
        psk: None,
    };
    while let Some(name) = args.next() {
        let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--listen" => options.listen = value.parse()?,
            "--kad" => options.kad = value,
            "--idle-s" => options.idle = Duration::from_secs(value.parse()?),
            "--relay" if value == "unlimited" => options.relay = Some(Limits::None),
            "--relay" => options.relay = Some(Limits::Default),
            "--mdns" => options.mdns = value == "on",
            "--autonat" => options.autonat = !value.is_empty(),
            "--observed" => options.observed = value == "on",
            "--psk" => options.psk = Some(std::fs::read_to_string(value)?.parse()?),
            _ => return Err(format!("unknown option {name}").into()),
        }
    }
    Ok(options)
}

// One line in, one line out; an error of any kind is an answer too.
async fn answer(node: Node, line: &str) -> Value {
    let command: Value = match serde_json::from_str(line) {
        Ok(command) => command,
        Err(e) => return json!({"id": null, "ok": false, "error": e.to_string()}),
    };
    let done = tokio::time::timeout(COMMAND_TIMEOUT, obey(&node, &command)).await;
    let mut out = Map::new();
    out.insert("id".into(), command["id"].clone());
    match done {
        Ok(Ok(Value::Object(fields))) => {
            out.insert("ok".into(), true.into());
            out.extend(fields);
        }
        Ok(Ok(other)) => {
            out.insert("ok".into(), true.into());
            out.insert("value".into(), other);
        }
        Ok(Err(e)) => {
            out.insert("ok".into(), false.into());
            out.insert("error".into(), e.to_string().into());
        }
        Err(_) => {
            out.insert("ok".into(), false.into());
            out.insert("error".into(), "timed out".into());
        }
    }
    Value::Object(out)
}

async fn obey(node: &Node, command: &Value) -> Result<Value> {
    match text(command, "cmd")? {
        "dial" => {
            let start = Instant::now();
            let peer = node.dial(address(command)?).await?;
            Ok(json!({"peer": peer.to_string(), "ms": ms(start)}))
        }
        "close" => {
            node.close(address(command)?.0).await?;
            Ok(json!({}))
        }
        "ping" => {
            let peer = node.dial(address(command)?).await?;
            let rtt = node.ping(peer).await?;
            Ok(json!({"ms": rtt.as_secs_f64() * 1e3}))
        }
        "identify" => {
            let peer = node.dial(address(command)?).await?;
            let info = node.identify(peer).await?;
            Ok(json!({
                "peer": info.public_key.to_peer_id().to_string(),
                "protocols": info.protocols.iter().map(|p| p.to_string()).collect::<Vec<_>>(),
                "agent": info.agent_version,
                "protocolVersion": info.protocol_version,
                "listenAddrs": texts(&info.listen_addrs),
                "observedAddr": info.observed_addr.to_string(),
            }))
        }
        "echo" => {
            let peer = node.dial(address(command)?).await?;
            let streams = number(command, "streams", 1);
            let bytes = number(command, "bytes", 1);
            let start = Instant::now();
            let each = (0..streams).map(|_| streams::echo(&node.streams, peer, bytes));
            futures::future::try_join_all(each).await?;
            Ok(json!({"streams": streams, "bytes": bytes, "ms": ms(start)}))
        }
        "http" => {
            let peer = node.dial(address(command)?).await?;
            http::fetch(&node.streams, peer, command).await
        }
        "sse" => {
            let peer = node.dial(address(command)?).await?;
            http::events(&node.streams, peer, command).await
        }
        "kad_add" => {
            let (peer, addr) = address(command)?;
            node.dial((peer, addr.clone())).await?;
            node.kad_add(peer, addr).await?;
            Ok(json!({}))
        }
        "find_node" => {
            let peer: PeerId = text(command, "peer")?.parse()?;
            let found = node.find_node(peer).await?;
            Ok(json!({"found": found.is_some(), "addrs": texts(&found.unwrap_or_default())}))
        }
        "provide" => {
            node.provide(text(command, "key")?).await?;
            Ok(json!({}))
        }
        "find_providers" => {
            let found = node.find_providers(text(command, "key")?).await?;
            // rust-libp2p keeps the providers' addresses to itself.
            let found: Vec<_> =
                found.iter().map(|p| json!({"peer": p.to_string(), "addrs": null})).collect();
            Ok(json!({"providers": found}))
        }
        "bulk" => {
            let peer = node.dial(address(command)?).await?;
            let (up, down) = (number(command, "up", 0), number(command, "down", 0));
            let (up_ms, down_ms) = streams::bulk(&node.streams, peer, up, down).await?;
            Ok(json!({"up_ms": up_ms, "down_ms": down_ms}))
        }
        "connect1" => {
            let (peer, addr) = address(command)?;
            let mut times = Vec::new();
            for _ in 0..number(command, "n", 1) {
                node.close(peer).await?;
                let start = Instant::now();
                node.dial((peer, addr.clone())).await?;
                streams::echo(&node.streams, peer, 1).await?;
                times.push(ms(start));
            }
            Ok(json!({"ms": times}))
        }
        "http1" => {
            let (peer, addr) = address(command)?;
            let mut times = Vec::new();
            for _ in 0..number(command, "n", 1) {
                node.close(peer).await?;
                let start = Instant::now();
                node.dial((peer, addr.clone())).await?;
                let response = http::hello(&node.streams, peer).await?;
                times.push(ms(start));
                http::read(response).await?;
            }
            Ok(json!({"ms": times}))
        }
        "reserve" => {
            let (relay, addr) = address(command)?;
            node.dial((relay, addr.clone())).await?;
            Ok(json!({"addrs": texts(&node.reserve(addr).await?)}))
        }
        "conns" => {
            let conns = node.conns(address(command)?.0).await?;
            Ok(json!({"direct": conns.direct, "relayed": conns.relayed}))
        }
        "mdns_peers" => {
            let peers = node.mdns_peers().await?;
            Ok(json!({"peers": peers.iter().map(|p| p.to_string()).collect::<Vec<_>>()}))
        }
        "autonat" => {
            let (peer, addr) = address(command)?;
            node.dial((peer, addr.clone())).await?;
            match number(command, "version", 2) {
                1 => Ok(reach(node.autonat_v1(peer, addr).await?)),
                _ => Ok(reach(node.autonat_v2(peer).await?)),
            }
        }
        "quit" => Ok(json!({})),
        other => Err(format!("unknown command {other}").into()),
    }
}

fn reach(reach: Reach) -> Value {
    match reach {
        Some(addr) => json!({"reach": "public", "addr": addr.to_string()}),
        None => json!({"reach": "private"}),
    }
}

fn text<'a>(command: &'a Value, name: &str) -> Result<&'a str> {
    command[name].as_str().ok_or_else(|| format!("{name} is missing").into())
}

fn number(command: &Value, name: &str, default: usize) -> usize {
    command[name].as_u64().map_or(default, |n| n as usize)
}

// The peer and its address out of /ip4/…/tcp/…/p2p/ID.
fn address(command: &Value) -> Result<(PeerId, Multiaddr)> {
    let addr: Multiaddr = text(command, "addr")?.parse()?;
    match addr.iter().last() {
        Some(libp2p::multiaddr::Protocol::P2p(peer)) => Ok((peer, addr)),
        _ => Err("addr has no /p2p/ at its end".into()),
    }
}

fn texts(addrs: &[Multiaddr]) -> Vec<String> {
    addrs.iter().map(|a| a.to_string()).collect()
}

fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
