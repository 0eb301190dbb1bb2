// SPDX-License-Identifier: MIT
//
// The two byte protocols of the tests: echo, which shows that every byte and the half-close arrive,
// and /perf/1.0.0, libp2p's own benchmark.

use std::time::Instant;

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::{PeerId, Stream, StreamProtocol};
use rand::Rng;

use crate::raw::Control;
use crate::Result;

pub const ECHO: StreamProtocol = StreamProtocol::new("/conduit-test/echo/1.0.0");
pub const PERF: StreamProtocol = StreamProtocol::new("/perf/1.0.0");
const CHUNK_BYTES: usize = 64 * 1024;

pub async fn serve_echo(mut stream: Stream) -> Result<()> {
    let mut block = vec![0; CHUNK_BYTES];
    loop {
        let n = stream.read(&mut block).await?;
        if n == 0 {
            stream.close().await?;
            return Ok(());
        }
        stream.write_all(&block[..n]).await?;
        stream.flush().await?;
    }
}

pub async fn serve_perf(mut stream: Stream) -> Result<()> {
    let mut head = [0; 8];
    stream.read_exact(&mut head).await?;
    read_to_end(&mut stream).await?;
    write_zeros(&mut stream, u64::from_be_bytes(head) as usize).await?;
    stream.close().await?;
    Ok(())
}

pub async fn echo(control: &Control, peer: PeerId, bytes: usize) -> Result<()> {
    let stream = control.open(peer, ECHO).await?;
    let mut sent = vec![0; bytes];
    rand::rng().fill_bytes(&mut sent);
    let (mut reader, mut writer) = stream.split();
    let writing = async {
        writer.write_all(&sent).await?;
        writer.close().await
    };
    let reading = async {
        let mut got = Vec::with_capacity(sent.len());
        reader.read_to_end(&mut got).await.map(|_| got)
    };
    let ((), got) = futures::future::try_join(writing, reading).await?;
    if got != sent {
        return Err(format!("echo differs: sent {bytes}, got {} bytes", got.len()).into());
    }
    Ok(())
}

// Milliseconds of the upload, up to its first answer, and of the download.
pub async fn bulk(control: &Control, peer: PeerId, up: usize, down: usize) -> Result<(f64, f64)> {
    let mut stream = control.open(peer, PERF).await?;
    let start = Instant::now();
    stream.write_all(&(down as u64).to_be_bytes()).await?;
    write_zeros(&mut stream, up).await?;
    stream.close().await?;
    let mut first = [0; 1];
    let mut got = stream.read(&mut first).await?;
    let up_ms = start.elapsed().as_secs_f64() * 1e3;
    got += read_to_end(&mut stream).await?;
    if got != down {
        return Err(format!("asked for {down} bytes, got {got}").into());
    }
    Ok((up_ms, start.elapsed().as_secs_f64() * 1e3 - up_ms))
}

async fn write_zeros(stream: &mut Stream, mut bytes: usize) -> Result<()> {
    let block = vec![0; CHUNK_BYTES];
    while bytes > 0 {
        let n = bytes.min(block.len());
        stream.write_all(&block[..n]).await?;
        bytes -= n;
    }
    Ok(stream.flush().await?)
}

async fn read_to_end(stream: &mut Stream) -> Result<usize> {
    let mut block = vec![0; CHUNK_BYTES];
    let mut total = 0;
    loop {
        match stream.read(&mut block).await? {
            0 => return Ok(total),
            n => total += n,
        }
    }
}
