// SPDX-License-Identifier: MIT
//
// The swarm, owned by one task, and a handle that any command may hold. A command that must wait
// sends an Ask with a oneshot; the task does what can be done at once, keeps the rest in `Waiting`,
// and completes it when the swarm emits the event.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures::StreamExt;
use libp2p::kad::{self, store::MemoryStore, QueryId, QueryResult};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{identify, noise, ping, tcp, yamux, Multiaddr, PeerId, StreamProtocol, Swarm};
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};

use crate::raw::{self, Accepted, Control};
use crate::{http, streams, Result};

pub struct Options {
    pub listen: Multiaddr,
    pub kad: String,
    pub idle: Duration,
}

#[derive(Clone)]
pub struct Node {
    pub peer: PeerId,
    pub addrs: Vec<Multiaddr>,
    pub streams: Control,
    asks: mpsc::Sender<Ask>,
}

#[derive(NetworkBehaviour)]
struct Behaviour {
    ping: ping::Behaviour,
    identify: identify::Behaviour,
    kad: kad::Behaviour<MemoryStore>,
    raw: raw::Behaviour,
}

type Reply<T> = oneshot::Sender<std::result::Result<T, String>>;

enum Ask {
    Dial(PeerId, Multiaddr, Reply<()>),
    Close(PeerId, Reply<()>),
    Ping(PeerId, Reply<Duration>),
    Identify(PeerId, Reply<identify::Info>),
    KadAdd(PeerId, Multiaddr, Reply<()>),
    FindNode(PeerId, Reply<Option<Vec<Multiaddr>>>),
    Provide(kad::RecordKey, Reply<()>),
    FindProviders(kad::RecordKey, Reply<HashSet<PeerId>>),
}

enum Query {
    FindNode(PeerId, Reply<Option<Vec<Multiaddr>>>),
    Provide(Reply<()>),
    FindProviders(HashSet<PeerId>, Reply<HashSet<PeerId>>),
}

#[derive(Default)]
struct Waiting {
    dials: HashMap<PeerId, Vec<Reply<()>>>,
    closes: HashMap<PeerId, Vec<Reply<()>>>,
    pings: HashMap<PeerId, Vec<Reply<Duration>>>,
    identifies: HashMap<PeerId, Vec<Reply<identify::Info>>>,
    queries: HashMap<QueryId, Query>,
    // The last identify message of each connected peer.
    infos: HashMap<PeerId, identify::Info>,
}

impl Node {
    pub async fn start(options: Options) -> Result<Node> {
        let (raw, control, accepted) =
            raw::Behaviour::new(vec![streams::ECHO, streams::PERF, http::HTTP]);
        let mut swarm = build(&options, raw)?;
        let peer = *swarm.local_peer_id();
        swarm.listen_on(options.listen)?;
        let addr = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                break address;
            }
        };
        // rust-libp2p names in provider records only addresses that it believes reachable.
        swarm.add_external_address(addr.clone());
        tokio::spawn(serve(accepted));
        let (asks, inbox) = mpsc::channel(64);
        tokio::spawn(run(swarm, inbox));
        let addrs = vec![addr.with_p2p(peer).map_err(|_| "listens on another's address")?];
        Ok(Node { peer, addrs, streams: control, asks })
    }

    pub async fn dial(&self, (peer, addr): (PeerId, Multiaddr)) -> Result<PeerId> {
        self.ask(|reply| Ask::Dial(peer, addr, reply)).await?;
        Ok(peer)
    }

    pub async fn close(&self, peer: PeerId) -> Result<()> {
        self.ask(|reply| Ask::Close(peer, reply)).await
    }

    pub async fn ping(&self, peer: PeerId) -> Result<Duration> {
        self.ask(|reply| Ask::Ping(peer, reply)).await
    }

    pub async fn identify(&self, peer: PeerId) -> Result<identify::Info> {
        self.ask(|reply| Ask::Identify(peer, reply)).await
    }

    pub async fn kad_add(&self, peer: PeerId, addr: Multiaddr) -> Result<()> {
        self.ask(|reply| Ask::KadAdd(peer, addr, reply)).await
    }

    pub async fn find_node(&self, peer: PeerId) -> Result<Option<Vec<Multiaddr>>> {
        self.ask(|reply| Ask::FindNode(peer, reply)).await
    }

    pub async fn provide(&self, key: &str) -> Result<()> {
        self.ask(|reply| Ask::Provide(record_key(key), reply)).await
    }

    pub async fn find_providers(&self, key: &str) -> Result<HashSet<PeerId>> {
        self.ask(|reply| Ask::FindProviders(record_key(key), reply)).await
    }

    async fn ask<T>(&self, make: impl FnOnce(Reply<T>) -> Ask) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.asks.send(make(reply)).await.map_err(|_| "the swarm has ended")?;
        Ok(answer.await.map_err(|_| "the swarm gave no answer")??)
    }
}

// The multihash sha2-256 of the text: what go and js accept as a provider's key.
fn record_key(text: &str) -> kad::RecordKey {
    let mut key = vec![0x12, 0x20];
    key.extend_from_slice(&Sha256::digest(text.as_bytes()));
    kad::RecordKey::new(&key)
}

fn build(options: &Options, raw: raw::Behaviour) -> Result<Swarm<Behaviour>> {
    let protocol = StreamProtocol::try_from_owned(options.kad.clone())?;
    let swarm = libp2p::SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)?
        .with_behaviour(|key| {
            let peer = key.public().to_peer_id();
            let mut kad = kad::Behaviour::with_config(
                peer,
                MemoryStore::new(peer),
                kad::Config::new(protocol.clone()),
            );
            kad.set_mode(Some(kad::Mode::Server));
            Behaviour {
                // Only the interval can be chosen, so a ping command waits for the next one.
                ping: ping::Behaviour::new(
                    ping::Config::new().with_interval(Duration::from_millis(500)),
                ),
                identify: identify::Behaviour::new(identify::Config::new(
                    "/conduit-test/1.0.0".into(),
                    key.public(),
                )),
                kad,
                raw,
            }
        })?
        .with_swarm_config(|config| config.with_idle_connection_timeout(options.idle))
        .build();
    Ok(swarm)
}

async fn serve(mut accepted: Accepted) {
    while let Some((protocol, stream)) = accepted.recv().await {
        tokio::spawn(async move {
            let served = if protocol == streams::ECHO {
                streams::serve_echo(stream).await
            } else if protocol == streams::PERF {
                streams::serve_perf(stream).await
            } else {
                http::serve(stream).await
            };
            if let Err(e) = served {
                eprintln!("{protocol}: {e}");
            }
        });
    }
}

async fn run(mut swarm: Swarm<Behaviour>, mut inbox: mpsc::Receiver<Ask>) {
    let mut waiting = Waiting::default();
    loop {
        tokio::select! {
            event = swarm.select_next_some() => on_event(&mut swarm, &mut waiting, event),
            ask = inbox.recv() => match ask {
                Some(ask) => on_ask(&mut swarm, &mut waiting, ask),
                None => return,
            },
        }
    }
}

fn on_ask(swarm: &mut Swarm<Behaviour>, waiting: &mut Waiting, ask: Ask) {
    match ask {
        Ask::Dial(peer, addr, reply) => dial(swarm, waiting, peer, addr, reply),
        Ask::Close(peer, reply) => match swarm.disconnect_peer_id(peer) {
            Ok(()) => waiting.closes.entry(peer).or_default().push(reply),
            Err(()) => done(reply, Ok(())),
        },
        Ask::Ping(peer, reply) => waiting.pings.entry(peer).or_default().push(reply),
        Ask::Identify(peer, reply) => match waiting.infos.get(&peer) {
            Some(info) => done(reply, Ok(info.clone())),
            None => waiting.identifies.entry(peer).or_default().push(reply),
        },
        Ask::KadAdd(peer, addr, reply) => {
            let added = match swarm.behaviour_mut().kad.add_address(&peer, addr) {
                kad::RoutingUpdate::Failed => Err("the routing table did not take it".into()),
                _ => Ok(()),
            };
            done(reply, added)
        }
        Ask::FindNode(peer, reply) => {
            let id = swarm.behaviour_mut().kad.get_closest_peers(peer);
            waiting.queries.insert(id, Query::FindNode(peer, reply));
        }
        Ask::Provide(key, reply) => match swarm.behaviour_mut().kad.start_providing(key) {
            Ok(id) => {
                waiting.queries.insert(id, Query::Provide(reply));
            }
            Err(e) => done(reply, Err(e.to_string())),
        },
        Ask::FindProviders(key, reply) => {
            let id = swarm.behaviour_mut().kad.get_providers(key);
            waiting.queries.insert(id, Query::FindProviders(HashSet::new(), reply));
        }
    }
}

fn dial(
    swarm: &mut Swarm<Behaviour>,
    waiting: &mut Waiting,
    peer: PeerId,
    addr: Multiaddr,
    reply: Reply<()>,
) {
    if swarm.is_connected(&peer) {
        return done(reply, Ok(()));
    }
    let first = !waiting.dials.contains_key(&peer);
    waiting.dials.entry(peer).or_default().push(reply);
    if !first {
        return;
    }
    let options =
        DialOpts::peer_id(peer).addresses(vec![addr]).condition(PeerCondition::Disconnected);
    if let Err(e) = swarm.dial(options.build()) {
        all(waiting.dials.remove(&peer), Err(e.to_string()));
    }
}

fn on_event(
    swarm: &mut Swarm<Behaviour>,
    waiting: &mut Waiting,
    event: SwarmEvent<BehaviourEvent>,
) {
    match event {
        SwarmEvent::ConnectionEstablished { peer_id, .. } => {
            all(waiting.dials.remove(&peer_id), Ok(()))
        }
        SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), error, .. }
            if !swarm.is_connected(&peer) =>
        {
            all(waiting.dials.remove(&peer), Err(error.to_string()))
        }
        SwarmEvent::ConnectionClosed { peer_id, num_established: 0, cause, .. } => {
            if let Some(cause) = cause {
                eprintln!("connection to {peer_id} closed: {cause}");
            }
            waiting.infos.remove(&peer_id);
            all(waiting.closes.remove(&peer_id), Ok(()));
            let gone = "the connection closed".to_string();
            all(waiting.pings.remove(&peer_id), Err(gone.clone()));
            all(waiting.identifies.remove(&peer_id), Err(gone));
        }
        SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event { peer, result, .. })) => {
            all(waiting.pings.remove(&peer), result.map_err(|e| e.to_string()))
        }
        SwarmEvent::Behaviour(BehaviourEvent::Identify(event)) => on_identify(waiting, event),
        SwarmEvent::Behaviour(BehaviourEvent::Kad(kad::Event::OutboundQueryProgressed {
            id,
            result,
            step,
            ..
        })) => on_query(waiting, id, result, step.last),
        _ => {}
    }
}

fn on_identify(waiting: &mut Waiting, event: identify::Event) {
    match event {
        identify::Event::Received { peer_id, info, .. } => {
            all(waiting.identifies.remove(&peer_id), Ok(info.clone()));
            waiting.infos.insert(peer_id, info);
        }
        identify::Event::Error { peer_id, error, .. } => {
            eprintln!("identify with {peer_id}: {error}");
            all(waiting.identifies.remove(&peer_id), Err(error.to_string()));
        }
        _ => {}
    }
}

fn on_query(waiting: &mut Waiting, id: QueryId, result: QueryResult, last: bool) {
    let Some(mut query) = waiting.queries.remove(&id) else { return };
    if let (
        Query::FindProviders(found, _),
        QueryResult::GetProviders(Ok(kad::GetProvidersOk::FoundProviders { providers, .. })),
    ) = (&mut query, &result)
    {
        found.extend(providers);
    }
    if !last {
        waiting.queries.insert(id, query);
        return;
    }
    match (query, result) {
        (Query::FindNode(peer, reply), QueryResult::GetClosestPeers(result)) => {
            let answer = result.map_err(|e| e.to_string()).map(|closest| {
                closest.peers.into_iter().find(|info| info.peer_id == peer).map(|info| info.addrs)
            });
            done(reply, answer)
        }
        (Query::Provide(reply), QueryResult::StartProviding(result)) => {
            done(reply, result.map(|_| ()).map_err(|e| e.to_string()))
        }
        (Query::FindProviders(found, reply), QueryResult::GetProviders(result)) => {
            done(reply, result.map(|_| found).map_err(|e| e.to_string()))
        }
        _ => eprintln!("a query ended with another query's result"),
    }
}

// Whoever asked may have given up meanwhile; that is no concern of ours.
fn done<T>(reply: Reply<T>, result: std::result::Result<T, String>) {
    let _ = reply.send(result);
}

fn all<T: Clone>(replies: Option<Vec<Reply<T>>>, result: std::result::Result<T, String>) {
    for reply in replies.unwrap_or_default() {
        done(reply, result.clone());
    }
}
