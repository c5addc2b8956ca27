//! A bare RESP2 client for Redis streams: XADD alone or pipelined, and the add-read-acknowledge-delete cycle in pipelines of ten.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::Client;

const STREAM: &str = "bench";
const GROUP: &str = "workers";

/// One connection.
struct Connection {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl Connection {
    fn new(address: SocketAddr) -> Connection {
        Connection {
            address,
            stream: None,
        }
    }

    /// Writes commands in one go and reads as many answers.
    async fn pipeline(&mut self, commands: &[Vec<u8>]) -> io::Result<Vec<Answer>> {
        let outcome = self.try_pipeline(commands).await;
        if outcome.is_err() {
            self.stream = None;
        }
        outcome
    }

    async fn try_pipeline(&mut self, commands: &[Vec<u8>]) -> io::Result<Vec<Answer>> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            empty => {
                let stream = TcpStream::connect(self.address).await?;
                stream.set_nodelay(true)?;
                empty.insert(BufReader::with_capacity(64 * 1024, stream))
            }
        };
        stream.get_mut().write_all(&commands.concat()).await?;
        let mut answers = Vec::with_capacity(commands.len());
        for _ in commands {
            answers.push(read_answer(stream).await?);
        }
        Ok(answers)
    }
}

/// What Redis answered.
#[derive(Debug)]
enum Answer {
    Nothing,
    Text(Vec<u8>),
    Number(i64),
    Array(Vec<Answer>),
}

fn malformed() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

async fn read_answer(stream: &mut BufReader<TcpStream>) -> io::Result<Answer> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let (kind, rest) = line
        .trim_end()
        .split_at_checked(1)
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    let number = || rest.parse::<i64>().map_err(|_| malformed());
    match kind {
        "+" => Ok(Answer::Text(rest.as_bytes().to_vec())),
        "-" => Err(io::Error::other(rest.to_owned())),
        ":" => Ok(Answer::Number(number()?)),
        "$" | "*" if number()? < 0 => Ok(Answer::Nothing),
        "$" => {
            let length = usize::try_from(number()?).map_err(|_| malformed())?;
            let mut text = vec![0; length + 2];
            stream.read_exact(&mut text).await?;
            text.truncate(length);
            Ok(Answer::Text(text))
        }
        "*" => {
            let mut items = Vec::new();
            for _ in 0..number()? {
                items.push(Box::pin(read_answer(stream)).await?);
            }
            Ok(Answer::Array(items))
        }
        _ => Err(malformed()),
    }
}

fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn xadd(body: &[u8]) -> Vec<u8> {
    command(&[b"XADD", STREAM.as_bytes(), b"*", b"body", body])
}

/// Empties the stream and makes the consumer group.
pub(crate) async fn prepare(address: SocketAddr) -> io::Result<()> {
    let mut connection = Connection::new(address);
    let delete = command(&[b"DEL", STREAM.as_bytes()]);
    let group = command(&[
        b"XGROUP",
        b"CREATE",
        STREAM.as_bytes(),
        GROUP.as_bytes(),
        b"$",
        b"MKSTREAM",
    ]);
    connection.pipeline(&[delete, group]).await.map(drop)
}

/// Adds entries in one pipeline and waits for the answers, which come after the sync.
pub(crate) struct Add {
    connection: Connection,
    adds: Vec<Vec<u8>>,
}

impl Add {
    pub(crate) fn new(address: SocketAddr, body: &[u8], at_once: usize) -> Add {
        Add {
            connection: Connection::new(address),
            adds: vec![xadd(body); at_once],
        }
    }
}

impl Client for Add {
    async fn call(&mut self) -> io::Result<u64> {
        let answers = self.connection.pipeline(&self.adds).await?;
        if answers
            .iter()
            .all(|answer| matches!(answer, Answer::Text(id) if !id.is_empty()))
        {
            Ok(answers.len() as u64)
        } else {
            Err(malformed())
        }
    }
}

/// Adds ten entries, takes ten, acknowledges and deletes them.
pub(crate) struct Cycle {
    connection: Connection,
    adds: Vec<Vec<u8>>,
    read: Vec<u8>,
}

impl Cycle {
    pub(crate) fn new(address: SocketAddr, body: &[u8], consumer: usize) -> Cycle {
        let consumer = consumer.to_string();
        let words: [&[u8]; 9] = [
            b"XREADGROUP",
            b"GROUP",
            GROUP.as_bytes(),
            consumer.as_bytes(),
            b"COUNT",
            b"10",
            b"STREAMS",
            STREAM.as_bytes(),
            b">",
        ];
        Cycle {
            connection: Connection::new(address),
            adds: vec![xadd(body); 10],
            read: command(&words),
        }
    }
}

impl Client for Cycle {
    async fn call(&mut self) -> io::Result<u64> {
        self.connection.pipeline(&self.adds).await?;
        let mut answers = self.connection.pipeline(std::slice::from_ref(&self.read)).await?;
        let ids = answers.pop().map(entry_ids).unwrap_or_default();
        if ids.is_empty() {
            return Ok(0); // Another consumer took ours; it acknowledges them.
        }
        let ids: Vec<&[u8]> = ids.iter().map(Vec::as_slice).collect();
        let acknowledge = [&[b"XACK", STREAM.as_bytes(), GROUP.as_bytes()], ids.as_slice()].concat();
        let delete = [&[b"XDEL", STREAM.as_bytes()], ids.as_slice()].concat();
        let answers = self
            .connection
            .pipeline(&[command(&acknowledge), command(&delete)])
            .await?;
        match answers.last() {
            Some(Answer::Number(deleted)) if *deleted == ids.len() as i64 => Ok(ids.len() as u64),
            _ => Err(malformed()),
        }
    }
}

/// Ids in `[[stream, [[id, fields], …]]]`.
fn entry_ids(answer: Answer) -> Vec<Vec<u8>> {
    let Answer::Array(streams) = answer else {
        return Vec::new();
    };
    let entries = streams.into_iter().filter_map(|stream| match stream {
        Answer::Array(mut pair) => pair.pop(),
        _ => None,
    });
    let ids = entries.flat_map(|entries| match entries {
        Answer::Array(entries) => entries,
        _ => Vec::new(),
    });
    ids.filter_map(|entry| match entry {
        Answer::Array(pair) => match pair.into_iter().next() {
            Some(Answer::Text(id)) => Some(id),
            _ => None,
        },
        _ => None,
    })
    .collect()
}
