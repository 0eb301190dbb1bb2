// SPDX-License-Identifier: MIT
//
// Streams of given protocols, to open and to accept, as a rust-libp2p behaviour.
//
// The hard thing: libp2p-stream, which exists for this, hands over one inbound stream at a time and
// drops what comes meanwhile, and opens one outbound stream at a time. With 64 streams at once half
// are lost to that, not to the wire. So here inbound streams go through an unbounded channel (the
// muxer bounds them), and outbound ones are negotiated side by side.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{ready, Ready};
use std::task::{Context, Poll};

use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::core::Endpoint;
use libp2p::swarm::handler::{
    ConnectionEvent, ConnectionHandler, DialUpgradeError, FullyNegotiatedInbound,
    FullyNegotiatedOutbound,
};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
    NotifyHandler, StreamUpgradeError, SubstreamProtocol, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol};
use tokio::sync::{mpsc, oneshot};

use crate::Result;

/// Opens streams; any number of them, from anywhere.
#[derive(Clone)]
pub struct Control(mpsc::UnboundedSender<(PeerId, Open)>);

/// The streams that others opened, with their protocol.
pub type Accepted = mpsc::UnboundedReceiver<(StreamProtocol, Stream)>;

pub struct Behaviour {
    protocols: Vec<StreamProtocol>,
    accept: mpsc::UnboundedSender<(StreamProtocol, Stream)>,
    asks: mpsc::UnboundedReceiver<(PeerId, Open)>,
}

/// A stream to be opened, and who waits for it.
#[derive(Debug)]
pub struct Open {
    protocol: StreamProtocol,
    reply: Reply,
}

type Reply = oneshot::Sender<std::result::Result<Stream, String>>;

impl Control {
    /// Opens a stream on a connection to the peer; there must be one.
    pub async fn open(&self, peer: PeerId, protocol: StreamProtocol) -> Result<Stream> {
        let (reply, answer) = oneshot::channel();
        self.0.send((peer, Open { protocol, reply })).map_err(|_| "the swarm has ended")?;
        Ok(answer.await.map_err(|_| "no connection, or it closed")??)
    }
}

impl Behaviour {
    pub fn new(protocols: Vec<StreamProtocol>) -> (Behaviour, Control, Accepted) {
        let (accept, accepted) = mpsc::unbounded_channel();
        let (ask, asks) = mpsc::unbounded_channel();
        (Behaviour { protocols, accept, asks }, Control(ask), accepted)
    }

    fn handler(&self) -> Handler {
        Handler {
            protocols: self.protocols.clone(),
            accept: self.accept.clone(),
            waiting: VecDeque::new(),
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> std::result::Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> std::result::Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler())
    }

    fn on_swarm_event(&mut self, _: FromSwarm) {}

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        match self.asks.poll_recv(cx) {
            // To a peer that is not connected this goes nowhere, and the reply is dropped.
            Poll::Ready(Some((peer_id, event))) => {
                Poll::Ready(ToSwarm::NotifyHandler { peer_id, handler: NotifyHandler::Any, event })
            }
            _ => Poll::Pending,
        }
    }
}

pub struct Handler {
    protocols: Vec<StreamProtocol>,
    accept: mpsc::UnboundedSender<(StreamProtocol, Stream)>,
    waiting: VecDeque<Open>,
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Open;
    type ToBehaviour = Infallible;
    type InboundProtocol = Upgrade;
    type OutboundProtocol = Upgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Reply;

    fn listen_protocol(&self) -> SubstreamProtocol<Upgrade> {
        SubstreamProtocol::new(Upgrade(self.protocols.clone()), ())
    }

    fn on_behaviour_event(&mut self, open: Open) {
        self.waiting.push_back(open);
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Upgrade, Reply, Infallible>> {
        match self.waiting.pop_front() {
            Some(Open { protocol, reply }) => {
                Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                    protocol: SubstreamProtocol::new(Upgrade(vec![protocol]), reply),
                })
            }
            None => Poll::Pending, // the swarm polls again after on_behaviour_event
        }
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<Upgrade, Upgrade, (), Reply>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol, ..
            }) => {
                let _ = self.accept.send(protocol);
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: (_, stream),
                info,
            }) => {
                let _ = info.send(Ok(stream));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                let _ = info.send(Err(match error {
                    StreamUpgradeError::Timeout => "opening the stream timed out".into(),
                    StreamUpgradeError::NegotiationFailed => "protocol not supported".into(),
                    StreamUpgradeError::Io(e) => format!("opening the stream: {e}"),
                    StreamUpgradeError::Apply(never) => match never {},
                }));
            }
            _ => {}
        }
    }
}

/// Negotiates one of the protocols, and leaves the stream as it is.
pub struct Upgrade(Vec<StreamProtocol>);

type Negotiated = Ready<std::result::Result<(StreamProtocol, Stream), Infallible>>;

impl UpgradeInfo for Upgrade {
    type Info = StreamProtocol;
    type InfoIter = std::vec::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.clone().into_iter()
    }
}

impl InboundUpgrade<Stream> for Upgrade {
    type Output = (StreamProtocol, Stream);
    type Error = Infallible;
    type Future = Negotiated;

    fn upgrade_inbound(self, stream: Stream, protocol: StreamProtocol) -> Negotiated {
        ready(Ok((protocol, stream)))
    }
}

impl OutboundUpgrade<Stream> for Upgrade {
    type Output = (StreamProtocol, Stream);
    type Error = Infallible;
    type Future = Negotiated;

    fn upgrade_outbound(self, stream: Stream, protocol: StreamProtocol) -> Negotiated {
        ready(Ok((protocol, stream)))
    }
}
