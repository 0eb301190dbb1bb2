// SPDX-License-Identifier: MIT
//
// The swarm, owned by one task, and a handle that any command may hold. A command that must wait
// sends an Ask with a oneshot; the task does what can be done at once, keeps the rest in `Waiting`,
// and completes it when the swarm emits the event.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures::StreamExt;
use libp2p::core::transport::ListenerId;
use libp2p::kad::{self, QueryId, QueryResult};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::SwarmEvent;
use libp2p::{autonat, identify, mdns, ping, Multiaddr, PeerId, Swarm};
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};

use crate::raw::{self, Accepted, Control};
use crate::swarm::{build, Behaviour, BehaviourEvent, Options};
use crate::{http, streams, Result};

#[derive(Clone)]
pub struct Node {
    pub peer: PeerId,
    pub addrs: Vec<Multiaddr>,
    pub streams: Control,
    asks: mpsc::Sender<Ask>,
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
    Reserve(Multiaddr, Reply<Vec<Multiaddr>>),
    Conns(PeerId, Reply<Conns>),
    MdnsPeers(Reply<Vec<PeerId>>),
    AutonatV1(PeerId, Multiaddr, Reply<Reach>),
    AutonatV2(PeerId, Reply<Reach>),
}

/// How many connections to a peer there are, and of which kind.
#[derive(Clone, Copy, Default)]
pub struct Conns {
    pub direct: usize,
    pub relayed: usize,
}

/// What an AutoNAT server said: the address that it reached, or None.
pub type Reach = Option<Multiaddr>;

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
    reservations: HashMap<ListenerId, Reply<Vec<Multiaddr>>>,
    probes_v1: HashMap<PeerId, Vec<Reply<Reach>>>,
    probes_v2: HashMap<PeerId, Vec<Reply<Reach>>>,
    // The last identify message of each connected peer.
    infos: HashMap<PeerId, identify::Info>,
    conns: HashMap<PeerId, Conns>,
    mdns: HashSet<PeerId>,
    // What AutoNAT v2 last said by itself: it asks each server about an address only once.
    tested_v2: HashMap<PeerId, Reach>,
}

impl Node {
    pub async fn start(options: Options) -> Result<Node> {
        let (raw, control, accepted) =
            raw::Behaviour::new(vec![streams::ECHO, streams::PERF, http::HTTP]);
        let mut swarm = build(&options, raw)?;
        let peer = *swarm.local_peer_id();
        swarm.listen_on(options.listen.clone())?;
        let addr = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                break address;
            }
        };
        // rust-libp2p names in provider records and reservations only addresses that it believes
        // reachable; and offers for hole punching those that others see, unless it knows them already.
        if !options.autonat && !options.observed {
            swarm.add_external_address(addr.clone());
        }
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

    pub async fn reserve(&self, addr: Multiaddr) -> Result<Vec<Multiaddr>> {
        let circuit = addr.with(Protocol::P2pCircuit);
        self.ask(|reply| Ask::Reserve(circuit, reply)).await
    }

    pub async fn conns(&self, peer: PeerId) -> Result<Conns> {
        self.ask(|reply| Ask::Conns(peer, reply)).await
    }

    pub async fn mdns_peers(&self) -> Result<Vec<PeerId>> {
        self.ask(Ask::MdnsPeers).await
    }

    pub async fn autonat_v1(&self, peer: PeerId, addr: Multiaddr) -> Result<Reach> {
        self.ask(|reply| Ask::AutonatV1(peer, addr, reply)).await
    }

    pub async fn autonat_v2(&self, peer: PeerId) -> Result<Reach> {
        self.ask(|reply| Ask::AutonatV2(peer, reply)).await
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
        Ask::Reserve(circuit, reply) => match swarm.listen_on(circuit) {
            Ok(id) => {
                waiting.reservations.insert(id, reply);
            }
            Err(e) => done(reply, Err(e.to_string())),
        },
        Ask::Conns(peer, reply) => {
            done(reply, Ok(waiting.conns.get(&peer).copied().unwrap_or_default()))
        }
        Ask::MdnsPeers(reply) => done(reply, Ok(waiting.mdns.iter().copied().collect())),
        Ask::AutonatV1(peer, addr, reply) => {
            waiting.probes_v1.entry(peer).or_default().push(reply);
            swarm.behaviour_mut().autonat_v1.add_server(peer, Some(addr));
        }
        Ask::AutonatV2(peer, reply) => match waiting.tested_v2.get(&peer) {
            Some(reach) => done(reply, Ok(reach.clone())),
            None => waiting.probes_v2.entry(peer).or_default().push(reply),
        },
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
        SwarmEvent::ConnectionEstablished { peer_id, endpoint, .. } => {
            let conns = waiting.conns.entry(peer_id).or_default();
            *kind(conns, endpoint.is_relayed()) += 1;
            all(waiting.dials.remove(&peer_id), Ok(()))
        }
        SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), error, .. }
            if !swarm.is_connected(&peer) =>
        {
            all(waiting.dials.remove(&peer), Err(error.to_string()))
        }
        SwarmEvent::ConnectionClosed { peer_id, num_established, cause, endpoint, .. } => {
            if let Some(conns) = waiting.conns.get_mut(&peer_id) {
                *kind(conns, endpoint.is_relayed()) -= 1;
            }
            if num_established > 0 {
                return;
            }
            waiting.conns.remove(&peer_id);
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
        SwarmEvent::NewListenAddr { listener_id, address } => {
            if let Some(reply) = waiting.reservations.remove(&listener_id) {
                done(reply, Ok(vec![address]));
            }
        }
        SwarmEvent::ListenerClosed { listener_id, reason, .. } => {
            if let Some(reply) = waiting.reservations.remove(&listener_id) {
                let why = reason.err().map_or("the reservation ended".into(), |e| e.to_string());
                done(reply, Err(why));
            }
        }
        SwarmEvent::Behaviour(BehaviourEvent::Mdns(mdns::Event::Discovered(found))) => {
            waiting.mdns.extend(found.into_iter().map(|(peer, _)| peer))
        }
        SwarmEvent::Behaviour(BehaviourEvent::AutonatV1(autonat::v1::Event::OutboundProbe(e))) => {
            on_probe(waiting, e)
        }
        SwarmEvent::Behaviour(BehaviourEvent::AutonatV2(event)) => {
            let reach = event.result.ok().map(|()| event.tested_addr);
            waiting.tested_v2.insert(event.server, reach.clone());
            all(waiting.probes_v2.remove(&event.server), Ok(reach));
        }
        SwarmEvent::Behaviour(BehaviourEvent::Dcutr(event)) => {
            if let Err(e) = event.result {
                eprintln!("hole punch with {}: {e}", event.remote_peer_id);
            }
        }
        _ => {}
    }
}

fn kind(conns: &mut Conns, relayed: bool) -> &mut usize {
    match relayed {
        true => &mut conns.relayed,
        false => &mut conns.direct,
    }
}

fn on_probe(waiting: &mut Waiting, event: autonat::v1::OutboundProbeEvent) {
    use autonat::v1::{OutboundProbeError, OutboundProbeEvent, ResponseError};
    match event {
        OutboundProbeEvent::Response { peer, address, .. } => {
            all(waiting.probes_v1.remove(&peer), Ok(Some(address)))
        }
        OutboundProbeEvent::Error { peer: Some(peer), error, .. } => match error {
            OutboundProbeError::Response(ResponseError::DialError) => {
                all(waiting.probes_v1.remove(&peer), Ok(None))
            }
            error => eprintln!("autonat with {peer}: {error:?}"), // it asks again
        },
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
