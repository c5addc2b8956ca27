//! Many datagrams with one system call, each way.
#![expect(
    unsafe_code,
    reason = "recvmmsg and sendmmsg: half of the cost of an answer is the system call, and no safe wrapper that we have takes \
              a batch together with the addresses that it came to"
)]

use std::io;
use std::mem::size_of;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::ptr;

use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Datagrams in one go, at most.
const BATCH: usize = 64;
/// Datagrams that are prepared for at least: what a quiet server gets.
const BATCH_LEAST: usize = 8;
/// Longest query; a longer one is cut and then refused, for it cannot be a question of ours.
const QUERY_BYTES: usize = 1280;
/// Room for the control message that says to which address a query came, and for one that says where to cut answers.
const CONTROL_BYTES: usize = 64;

/// Answers that go as one message: less than a datagram can hold.
const TOGETHER_BYTES: usize = 60_000;

#[derive(Clone, Copy)]
#[repr(align(8))]
struct Control([u8; CONTROL_BYTES]);

/// Where a query came from and to; an answer goes the same way back.
#[derive(Clone, Copy)]
pub(super) struct Peer {
    name: libc::sockaddr_storage,
    name_length: libc::socklen_t,
    control: Control,
    control_length: usize,
}

/// Queries that came together, and their answers.
pub(super) struct Batch {
    queries: Vec<[u8; QUERY_BYTES]>,
    lengths: [usize; BATCH],
    peers: Vec<Peer>,
    replies: Vec<Vec<u8>>,
    len: usize,
    /// Datagrams to prepare for: twice as many as came last.
    room: usize,
}

impl Batch {
    pub(super) fn new() -> Batch {
        // SAFETY: all fields of the C struct are numbers, for which zero is a value.
        let name = unsafe { std::mem::zeroed() };
        let peer = Peer {
            name,
            name_length: 0,
            control: Control([0; CONTROL_BYTES]),
            control_length: 0,
        };
        Batch {
            queries: vec![[0; QUERY_BYTES]; BATCH],
            lengths: [0; BATCH],
            peers: vec![peer; BATCH],
            replies: vec![Vec::new(); BATCH],
            len: 0,
            room: BATCH_LEAST,
        }
    }

    /// Takes what has come, without waiting; answers how many. The replies are empty then.
    pub(super) fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        self.len = 0;
        let outcome = socket.try_io(Interest::READABLE, || {
            let room = self.room;
            self.len = self.receive_now(socket, room)?;
            self.room = (self.len * 2).clamp(BATCH_LEAST, BATCH);
            if self.len < room {
                // Nothing is left, so that the socket is not ready until it says so again; this is how tokio is told.
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(())
        });
        match outcome {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => {
                self.replies[..self.len].iter_mut().for_each(Vec::clear);
                Ok(self.len)
            }
        }
    }

    fn receive_now(&mut self, socket: &UdpSocket, room: usize) -> io::Result<usize> {
        // SAFETY: the structs hold numbers and pointers, for which zero is a value.
        let (mut messages, mut vectors): ([libc::mmsghdr; BATCH], [libc::iovec; BATCH]) =
            unsafe { std::mem::zeroed() };
        let slots = messages.iter_mut().zip(&mut vectors).take(room);
        for ((message, vector), (query, peer)) in slots.zip(self.queries.iter_mut().zip(&mut self.peers)) {
            vector.iov_base = query.as_mut_ptr().cast();
            vector.iov_len = QUERY_BYTES;
            let header = &mut message.msg_hdr;
            header.msg_name = (&raw mut peer.name).cast();
            header.msg_namelen = size_of::<libc::sockaddr_storage>() as _;
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            header.msg_control = peer.control.0.as_mut_ptr().cast();
            header.msg_controllen = (CONTROL_BYTES - SEGMENT_BYTES) as _;
        }
        // SAFETY: every header points at buffers of the sizes that it names, which outlive the call.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                messages.as_mut_ptr(),
                room as _,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for (at, message) in messages.iter().enumerate().take(count) {
            self.lengths[at] = (message.msg_len as usize).min(QUERY_BYTES);
            self.peers[at].name_length = message.msg_hdr.msg_namelen;
            // Of another type on every C library.
            let length: usize = message.msg_hdr.msg_controllen as _;
            self.peers[at].control_length = length.min(CONTROL_BYTES - SEGMENT_BYTES);
        }
        Ok(count)
    }

    /// A query, the way back, and the place for its answer, which stays empty if there is none.
    pub(super) fn query(&mut self, at: usize) -> (&[u8], &Peer, &mut Vec<u8>) {
        let query = &self.queries[at][..self.lengths[at]];
        (query, &self.peers[at], &mut self.replies[at])
    }

    /// Sends the answers. One that cannot be sent is lost, as any datagram may be.
    pub(super) fn send(&self, socket: &UdpSocket) {
        let replies = self.peers[..self.len].iter().zip(&self.replies);
        send(socket, replies.map(|(peer, reply)| (peer, reply.as_slice())));
    }
}

/// Sends one answer.
pub(super) fn send_one(socket: &UdpSocket, peer: &Peer, reply: &[u8]) {
    send(socket, std::iter::once((peer, reply)));
}

/// Sends answers, those of one length to one client as one message that the kernel cuts apart at the far end of its work
/// (`UDP_SEGMENT`): busy clients are resolvers with few ports, and the way through the kernel is what an answer costs.
fn send<'a>(socket: &UdpSocket, replies: impl Iterator<Item = (&'a Peer, &'a [u8])>) {
    let mut waiting: [Option<(&Peer, &[u8])>; BATCH] = [None; BATCH];
    for (place, reply) in waiting
        .iter_mut()
        .zip(replies.filter(|(_, reply)| !reply.is_empty()))
    {
        *place = Some(reply);
    }
    // SAFETY: the structs hold numbers and pointers, for which zero is a value.
    let (mut messages, mut vectors): ([libc::mmsghdr; BATCH], [libc::iovec; BATCH]) =
        unsafe { std::mem::zeroed() };
    let mut controls = [Control([0; CONTROL_BYTES]); BATCH];
    let (mut count, mut rest) = (0, &mut vectors[..]);
    for at in 0..BATCH {
        let Some((peer, reply)) = waiting[at].take() else {
            continue;
        };
        let mut alike = 0;
        let same = waiting[at..].iter_mut().filter(|other| {
            other.is_some_and(|(other, text)| text.len() == reply.len() && other.is_same(peer))
        });
        let same = same.take(TOGETHER_BYTES / reply.len() - 1);
        let group = std::iter::once(reply).chain(same.filter_map(|other| Some(other.take()?.1)));
        for (vector, reply) in rest.iter_mut().zip(group) {
            vector.iov_base = reply.as_ptr().cast_mut().cast();
            vector.iov_len = reply.len();
            alike += 1;
        }
        let (group, others) = std::mem::take(&mut rest).split_at_mut(alike);
        rest = others;
        controls[count] = peer.control;
        let header = &mut messages[count].msg_hdr;
        header.msg_name = (&raw const peer.name).cast_mut().cast();
        header.msg_namelen = peer.name_length;
        header.msg_iov = group.as_mut_ptr();
        header.msg_iovlen = alike as _;
        let length = match alike {
            1 => peer.control_length,
            _ => controls[count].add_segment_size(peer.control_length, reply.len()),
        };
        if length > 0 {
            header.msg_control = controls[count].0.as_mut_ptr().cast();
            header.msg_controllen = length as _;
        }
        count += 1;
    }
    send_now(socket, &mut messages[..count]);
}

/// Sends messages whose pointers are those of living buffers.
fn send_now(socket: &UdpSocket, mut messages: &mut [libc::mmsghdr]) {
    while !messages.is_empty() {
        // SAFETY: every header points at names, replies and control messages that the caller holds, and the call reads.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                messages.as_mut_ptr(),
                messages.len() as _,
                libc::MSG_DONTWAIT as _,
            )
        };
        let gone = match usize::try_from(sent) {
            Ok(sent) => sent.max(1),
            Err(_) => match io::Error::last_os_error().kind() {
                io::ErrorKind::Interrupted => 0,
                io::ErrorKind::WouldBlock => return,
                // The first one cannot be sent: to an unreachable address perhaps, or not in one piece.
                _ => {
                    send_apart(socket, &messages[0].msg_hdr);
                    1
                }
            },
        };
        messages = &mut messages[gone..];
    }
}

/// Sends the replies of a message that could not be sent as one.
fn send_apart(socket: &UdpSocket, message: &libc::msghdr) {
    let (count, length): (usize, usize) = (message.msg_iovlen as _, message.msg_controllen as _);
    if count == 1 {
        return;
    }
    let mut one = *message;
    one.msg_iovlen = 1;
    // What was added stands at the end.
    one.msg_controllen = (length - SEGMENT_BYTES) as _;
    for at in 0..count {
        // SAFETY: `at` is below the number of vectors that `msg_iov` points at.
        one.msg_iov = unsafe { message.msg_iov.add(at) };
        // SAFETY: as for the message itself. Whether it can be sent is its own affair.
        unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const one, libc::MSG_DONTWAIT) };
    }
}

/// Bytes of the control message that says where to cut.
const SEGMENT_BYTES: usize = size_of::<libc::cmsghdr>() + 8;

impl Control {
    /// Says after how many bytes the kernel is to cut, behind the `length` bytes that are there; answers how many there are
    /// then.
    fn add_segment_size(&mut self, length: usize, bytes: usize) -> usize {
        let at = length.next_multiple_of(8);
        // SAFETY: all fields of the C struct are numbers, for which zero is a value.
        let mut header: libc::cmsghdr = unsafe { std::mem::zeroed() };
        header.cmsg_len = (size_of::<libc::cmsghdr>() + size_of::<u16>()) as _;
        header.cmsg_level = libc::SOL_UDP;
        header.cmsg_type = libc::UDP_SEGMENT;
        let room = &mut self.0[at..at + SEGMENT_BYTES];
        // SAFETY: `room` has the size of the header and eight bytes more.
        unsafe { room.as_mut_ptr().cast::<libc::cmsghdr>().write_unaligned(header) };
        let bytes = u16::try_from(bytes).unwrap_or(u16::MAX);
        let text = size_of::<libc::cmsghdr>();
        room[text..text + 2].copy_from_slice(&bytes.to_ne_bytes());
        at + SEGMENT_BYTES
    }
}

impl Peer {
    /// Whether it is the same client, that asked at the same address.
    fn is_same(&self, other: &Peer) -> bool {
        self.client() == other.client()
            && self.control_length == other.control_length
            && self.control.0[..self.control_length] == other.control.0[..other.control_length]
    }

    /// The client; `None` if it has no address that we know.
    pub(super) fn client(&self) -> Option<SocketAddr> {
        let name = &raw const self.name;
        match i32::from(self.name.ss_family) {
            libc::AF_INET => {
                // SAFETY: the family says what the kernel has put there, and the storage is large enough for all.
                let v4 = unsafe { &*name.cast::<libc::sockaddr_in>() };
                let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
                Some((ip, u16::from_be(v4.sin_port)).into())
            }
            libc::AF_INET6 => {
                // SAFETY: as above.
                let v6 = unsafe { &*name.cast::<libc::sockaddr_in6>() };
                let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                Some((ip, u16::from_be(v6.sin6_port)).into())
            }
            _ => None,
        }
    }
}

/// Makes the socket say to which address a query came, and answer from there. For one that listens on all addresses:
/// from the wrong one an answer would be thrown away.
pub(super) fn answer_from_the_same_address(socket: &UdpSocket) -> io::Result<()> {
    let (level, option) = match socket.local_addr()? {
        SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_PKTINFO),
        SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
    };
    let on: libc::c_int = 1;
    // SAFETY: the option is a C int, and its size is told.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as _,
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
