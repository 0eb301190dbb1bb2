// SPDX-License-Identifier: MIT
//
// What the swarm is made of: the transport (TCP, a private network's cipher under it when there is a
// key, and circuits through relays) and the behaviours, some only when asked for by an option.

use std::time::Duration;

use either::Either;
use libp2p::core::upgrade::Version;
use libp2p::kad::{self, store::MemoryStore};
use libp2p::pnet::{PnetConfig, PreSharedKey};
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::NetworkBehaviour;
use libp2p::{
    autonat, dcutr, identify, identity, mdns, noise, ping, relay, tcp, yamux, Multiaddr,
    StreamProtocol, Swarm, Transport,
};

use crate::{raw, Result};

pub struct Options {
    pub listen: Multiaddr,
    pub kad: String,
    pub idle: Duration,
    pub relay: Option<Limits>,
    pub mdns: bool,
    pub autonat: bool,
    pub observed: bool,
    pub psk: Option<PreSharedKey>,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Limits {
    Default,
    None,
}

#[derive(NetworkBehaviour)]
pub struct Behaviour {
    pub ping: ping::Behaviour,
    pub identify: identify::Behaviour,
    pub kad: kad::Behaviour<MemoryStore>,
    pub raw: raw::Behaviour,
    pub circuits: relay::client::Behaviour,
    pub relay: Toggle<relay::Behaviour>,
    pub dcutr: dcutr::Behaviour,
    pub mdns: Toggle<mdns::tokio::Behaviour>,
    pub autonat_v1: autonat::v1::Behaviour,
    pub autonat_v2: Toggle<autonat::v2::client::Behaviour>,
    pub autonat_v2_server: autonat::v2::server::Behaviour,
}

pub fn build(options: &Options, raw: raw::Behaviour) -> Result<Swarm<Behaviour>> {
    let psk = options.psk;
    let transport = move |key: &identity::Keypair| {
        let base = tcp::tokio::Transport::new(tcp::Config::default());
        let base = match psk {
            Some(psk) => Either::Left(
                base.and_then(move |socket, _| PnetConfig::new(psk).handshake(socket)),
            ),
            None => Either::Right(base),
        };
        let noise = noise::Config::new(key)?;
        Ok(base.upgrade(Version::V1Lazy).authenticate(noise).multiplex(yamux::Config::default()))
    };
    let swarm = libp2p::SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_other_transport(transport)?
        .with_relay_client(noise::Config::new, yamux::Config::default)?
        .with_behaviour(|key, circuits| behaviour(options, key, circuits, raw))?
        .with_swarm_config(|config| config.with_idle_connection_timeout(options.idle))
        .build();
    Ok(swarm)
}

fn behaviour(
    options: &Options,
    key: &identity::Keypair,
    circuits: relay::client::Behaviour,
    raw: raw::Behaviour,
) -> Result<Behaviour> {
    let peer = key.public().to_peer_id();
    let protocol = StreamProtocol::try_from_owned(options.kad.clone())?;
    let mut kad =
        kad::Behaviour::with_config(peer, MemoryStore::new(peer), kad::Config::new(protocol));
    kad.set_mode(Some(kad::Mode::Server));
    let mdns = match options.mdns {
        true => Some(mdns::tokio::Behaviour::new(mdns::Config::default(), peer)?),
        false => None,
    };
    let v2 = autonat::v2::client::Config::default().with_probe_interval(Duration::from_secs(1));
    Ok(Behaviour {
        // Only the interval can be chosen, so a ping command waits for the next one.
        ping: ping::Behaviour::new(ping::Config::new().with_interval(Duration::from_millis(500))),
        identify: identify::Behaviour::new(identify::Config::new(
            "/conduit-test/1.0.0".into(),
            key.public(),
        )),
        kad,
        raw,
        circuits,
        relay: options.relay.map(|limits| relay::Behaviour::new(peer, relay_config(limits))).into(),
        dcutr: dcutr::Behaviour::new(peer),
        mdns: mdns.into(),
        autonat_v1: autonat::v1::Behaviour::new(peer, autonat_config()),
        autonat_v2: options
            .autonat
            .then(|| autonat::v2::client::Behaviour::new(rand::make_rng(), v2))
            .into(),
        autonat_v2_server: autonat::v2::server::Behaviour::default(),
    })
}

fn relay_config(limits: Limits) -> relay::Config {
    let mut config = relay::Config::default();
    if limits == Limits::None {
        config.max_circuit_bytes = 0; // which is no limit
        config.max_circuit_duration = Duration::from_secs(24 * 3600);
    }
    config
}

// A probe only when the `autonat` command names a server, and then at once.
fn autonat_config() -> autonat::v1::Config {
    autonat::v1::Config {
        boot_delay: Duration::from_millis(200),
        retry_interval: Duration::from_millis(500),
        throttle_server_period: Duration::ZERO,
        use_connected: false,
        only_global_ips: false,
        ..Default::default()
    }
}
