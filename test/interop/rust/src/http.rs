// SPDX-License-Identifier: MIT
//
// HTTP/1.1 over libp2p streams with hyper on both sides: rust-libp2p has no HTTP of its own, and
// hyper over a stream is what its users build.
//
// The hard thing: a peer may half-close after its request, which is no cancellation on a libp2p
// stream; hyper's server takes it for one unless `half_close` is set.

use std::io;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use libp2p::{PeerId, Stream, StreamProtocol};
use serde_json::{json, Map, Value};
use tokio_util::compat::FuturesAsyncReadCompatExt;

use crate::raw::Control;
use crate::Result;

pub const HTTP: StreamProtocol = StreamProtocol::new("/http/1.1");

type Body = BoxBody<Bytes, io::Error>;

// ---- server -----------------------------------------------------------------------------------

pub async fn serve(stream: Stream) -> Result<()> {
    let connection = hyper::server::conn::http1::Builder::new()
        .half_close(true)
        .keep_alive(false)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream.compat()), hyper::service::service_fn(route));
    Ok(connection.await?)
}

async fn route(request: Request<Incoming>) -> std::result::Result<Response<Body>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let query = parts.uri.query().unwrap_or("");
    let answer = match (&parts.method, parts.uri.path()) {
        (&Method::GET, "/hello") => full(200, "text/plain", "hello from rust"),
        (&Method::POST, "/echo") => {
            let kind = parts.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
            full(200, kind.unwrap_or("application/octet-stream"), body)
        }
        (_, "/sse") => sse(parameter(query, "n").unwrap_or(50), parameter(query, "cut")),
        (&Method::GET, "/.well-known/libp2p/protocols") => full(
            200,
            "application/json",
            json!({"protocols": {"/conduit-test/http": {"path": "/"}}}).to_string(),
        ),
        _ => full(404, "text/plain", "not found"),
    };
    Ok(answer)
}

fn full(status: u16, kind: &str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response =
        Response::new(Full::new(body.into()).map_err(|never| match never {}).boxed());
    *response.status_mut() = StatusCode::from_u16(status).expect("a constant");
    response.headers_mut().insert(CONTENT_TYPE, kind.parse().expect("came from a header"));
    response
}

fn parameter(query: &str, name: &str) -> Option<usize> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == name).find_map(|(_, value)| value.parse().ok())
}

// With `cut`, the body breaks off after that many events.
fn sse(n: usize, cut: Option<usize>) -> Response<Body> {
    let events = (0..n)
        .map(|i| format!("data: {{\"i\":{i}}}\n\n"))
        .chain(std::iter::once("data: [DONE]\n\n".into()))
        .enumerate()
        .map(move |(i, event)| match cut {
            Some(cut) if i >= cut => Err(io::Error::other("cut, as asked")),
            _ => Ok(Frame::data(Bytes::from(event))),
        });
    // hyper forgets what it has not written yet when the body fails; so let it write first.
    let events = stream::iter(events).then(|event| async {
        if event.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        event
    });
    let mut response = Response::new(BodyExt::boxed(StreamBody::new(events)));
    response.headers_mut().insert(CONTENT_TYPE, "text/event-stream".parse().expect("a constant"));
    response
}

// ---- client -----------------------------------------------------------------------------------

pub async fn fetch(control: &Control, peer: PeerId, command: &Value) -> Result<Value> {
    let method = command["method"].as_str().unwrap_or("GET");
    let response = send(control, peer, method, command).await?;
    let status = response.status().as_u16();
    let headers: Map<String, Value> = response
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    let body = response.into_body().collect().await?.to_bytes();
    Ok(json!({"status": status, "headers": headers, "body": String::from_utf8_lossy(&body)}))
}

pub async fn events(control: &Control, peer: PeerId, command: &Value) -> Result<Value> {
    let method = if command["body"].is_null() { "GET" } else { "POST" };
    let response = send(control, peer, method, command).await?;
    let status = response.status().as_u16();
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    let mut orderly = true;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes.extend_from_slice(frame.data_ref().unwrap_or(&Bytes::new())),
            Err(_) => {
                orderly = false;
                break;
            }
        }
    }
    let text = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
    let events: Vec<String> = text.split("\n\n").map(data_of).filter(|d| !d.is_empty()).collect();
    Ok(json!({"status": status, "events": events, "orderly": orderly}))
}

// The answer to GET /hello, as soon as its head is there; `read` takes the rest.
pub async fn hello(control: &Control, peer: PeerId) -> Result<Response<Incoming>> {
    send(control, peer, "GET", &json!({"path": "/hello"})).await
}

pub async fn read(response: Response<Incoming>) -> Result<()> {
    response.into_body().collect().await?;
    Ok(())
}

fn data_of(event: &str) -> String {
    let lines = event.lines().filter_map(|line| line.strip_prefix("data:"));
    lines.map(|data| data.strip_prefix(' ').unwrap_or(data)).collect::<Vec<_>>().join("\n")
}

async fn send(
    control: &Control,
    peer: PeerId,
    method: &str,
    command: &Value,
) -> Result<Response<Incoming>> {
    if command["half_close"].as_bool().unwrap_or(false) {
        return Err("hyper's client cannot half-close".into());
    }
    let stream = control.open(peer, HTTP).await?;
    let mut builder = Request::builder()
        .method(method)
        .uri(command["path"].as_str().unwrap_or("/"))
        .header(HOST, peer.to_string())
        .header(CONNECTION, "close");
    for (name, value) in command["headers"].as_object().into_iter().flatten() {
        builder = builder.header(name, value.as_str().unwrap_or(""));
    }
    let body = command["body"].as_str().unwrap_or("").to_string();
    let request = builder.body(Full::<Bytes>::from(body))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream.compat())).await?;
    tokio::spawn(async move {
        if let Err(e) = connection.await {
            eprintln!("http client: {e}");
        }
    });
    Ok(sender.send_request(request).await?)
}
