'use strict'
// A server of Node.js of a few lines, which drains with drain.js.
//
// GET or POST /work?ms=N answers after N milliseconds, /events is an event
// stream, /ws a WebSocket that sends back what it gets. DRAIN=off leaves drain.js out.

const crypto = require('node:crypto')
const http = require('node:http')
const os = require('node:os')

const POD = os.hostname()
const NOTICE_SECONDS = 4 // over which the clients of long-lived connections are told

const server = http.createServer(handle)
const drain = process.env.DRAIN === 'off' ? null : require('./drain').attach(server)
if (drain) server.keepAliveTimeout = 75_000 // longer than load balancers keep idle connections

function handle (request, response) {
  const url = new URL(request.url, 'http://localhost')
  if (url.pathname === '/events') return events(request, response)
  if (url.pathname === '/healthz') return response.end('ok\n')
  if (url.pathname !== '/work') {
    response.statusCode = 404
    return response.end('not found\n')
  }
  const ms = Number(url.searchParams.get('ms') ?? 0)
  request.resume().on('end', () => setTimeout(() => {
    const body = JSON.stringify({ pod: POD, ms })
    response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) })
    response.end(body)
  }, ms))
}

// leave calls back when it is this client's turn to go, if it is still there.
function leave (socket, go) {
  if (!drain) return
  const forget = drain.whenDraining(() => setTimeout(() => { if (!socket.destroyed) go() }, Math.random() * NOTICE_SECONDS * 1000))
  socket.once('close', forget)
}

function events (request, response) {
  drain?.moveToLongLived(response)
  response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' })
  const tick = setInterval(() => response.write(`data: ${Date.now()}\n\n`), 200)
  response.once('close', () => clearInterval(tick))
  response.write(`data: ${Date.now()}\n\n`)
  leave(response.socket, () => response.end('retry: 200\n\n'))
}

// The WebSocket is as little of RFC 6455 as an echo needs. Use a library.
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
const CLOSE = 8
const PING = 9
const PONG = 10

server.on('upgrade', (request, socket, head) => {
  const key = request.headers['sec-websocket-key']
  if (!key || new URL(request.url, 'http://localhost').pathname !== '/ws') return socket.destroy()
  const accept = crypto.createHash('sha1').update(key + GUID).digest('base64')
  socket.setNoDelay(true)
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`)
  let closing = false
  leave(socket, () => {
    closing = true
    socket.write(frame(0x80 | CLOSE, Buffer.concat([Buffer.from([1012 >> 8, 1012 & 255]), Buffer.from('connect again')])))
  })
  let buffer = head
  const read = (part) => {
    buffer = Buffer.concat([buffer, part])
    for (let next; (next = parse(buffer)); buffer = next.rest) {
      const kind = next.first & 15
      if (kind === CLOSE) return socket.end(closing ? undefined : frame(next.first, next.payload))
      if (kind === PING) socket.write(frame(0x80 | PONG, next.payload))
      else if (kind !== PONG && !closing) socket.write(frame(next.first, next.payload))
    }
  }
  socket.on('data', read)
  socket.on('error', () => socket.destroy())
  socket.on('end', () => socket.end())
  read(Buffer.alloc(0))
})

function frame (first, payload) {
  const n = payload.length
  if (n < 126) return Buffer.concat([Buffer.from([first, n]), payload])
  if (n < 65536) return Buffer.concat([Buffer.from([first, 126, n >> 8, n & 255]), payload])
  const size = Buffer.alloc(10)
  size[0] = first
  size[1] = 127
  size.writeBigUInt64BE(BigInt(n), 2)
  return Buffer.concat([size, payload])
}

// parse is the first whole frame of a client, which masks what it sends.
function parse (b) {
  if (b.length < 2) return null
  let n = b[1] & 127
  let at = 2
  if (n === 126) {
    if (b.length < 4) return null
    n = b.readUInt16BE(2)
    at = 4
  } else if (n === 127) {
    if (b.length < 10) return null
    n = Number(b.readBigUInt64BE(2))
    at = 10
  }
  if (b.length < at + 4 + n) return null
  const mask = b.subarray(at, at + 4)
  const payload = Buffer.from(b.subarray(at + 4, at + 4 + n))
  for (let i = 0; i < n; i++) payload[i] ^= mask[i & 3]
  return { first: b[0], payload, rest: b.subarray(at + 4 + n) }
}

const [host, port] = (process.env.ADDRESS ?? '0.0.0.0:8080').split(':')
server.listen(Number(port), host)

// The first process of a container has to ask for SIGTERM. close() waits for
// requests in flight, and from Node.js 19 on ends idle connections itself.
process.on('SIGTERM', () => {
  server.close(() => process.exit(0))
  server.closeIdleConnections()
  drain?.listener.close()
})
