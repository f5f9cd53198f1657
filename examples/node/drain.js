'use strict'
// The drain-status protocol, version 1, for a server of Node.js. No dependencies.
//
//   const server = http.createServer(handler)
//   const drain = require('./drain').attach(server)   // 127.0.0.1:8089
//
// It counts the requests that are owed a response, answers GET /drain-status and
// POST /drain on a listener of its own, and has each response say
// "Connection: close" while draining. On another host than loopback a notification
// needs the pod's token: the option token, or the environment variable
// DRAIN_OPERATOR_TOKEN.

const crypto = require('node:crypto')
const { EventEmitter } = require('node:events')
const http = require('node:http')

const HOST = '127.0.0.1'
const PORT = 8089
const MAX_BODY_BYTES = 64 << 10
const MAX_WAIT_SECONDS = 30
const MAX_WAITS = 4
const TOKEN_ENV = 'DRAIN_OPERATOR_TOKEN'
const TOKEN_HEADER = 'Drain-Token'

class Drain extends EventEmitter {
  constructor () {
    super()
    this.setMaxListeners(0)
    this.draining = false
    this.inFlight = new Map() // response or socket → when it began, in ms
    this.longLived = new Map()
  }

  has (of) { return this.inFlight.has(of) || this.longLived.has(of) }

  begin (of) { this.inFlight.set(of, performance.now()) }

  end (of) {
    this.longLived.delete(of)
    if (this.inFlight.delete(of) && this.inFlight.size === 0) this.emit('idle')
  }

  // moveToLongLived is for what does not end by itself: it keeps no pod.
  moveToLongLived (of) {
    if (!this.inFlight.has(of)) return
    this.longLived.set(of, this.inFlight.get(of))
    this.inFlight.delete(of)
    if (this.inFlight.size === 0) this.emit('idle')
  }

  // whenDraining calls back once: whoever serves a long-lived connection then
  // tells its client to connect elsewhere. It returns how to forget it. What one
  // throws keeps neither the others from being told nor the notification from
  // its answer.
  whenDraining (callback) {
    let soon
    const tell = () => { soon = setImmediate(callback) }
    if (this.draining) tell()
    else this.once('draining', tell)
    return () => {
      this.off('draining', tell)
      clearImmediate(soon)
    }
  }

  set (draining) {
    if (draining === this.draining) return
    this.draining = draining
    if (draining) this.emit('draining')
  }

  status () {
    return JSON.stringify({
      version: 1,
      draining: this.draining,
      inFlight: this.inFlight.size,
      longLived: this.longLived.size,
      oldestInFlightSeconds: ageOfFirst(this.inFlight),
      oldestLongLivedSeconds: ageOfFirst(this.longLived)
    }) + '\n'
  }
}

function ageOfFirst (begun) {
  return begun.size === 0 ? 0 : (performance.now() - begun.values().next().value) / 1000
}

function attach (server, { host = HOST, port = PORT, token = process.env[TOKEN_ENV] ?? '' } = {}) {
  const drain = new Drain()
  observe(drain, server)
  drain.listener = listen(drain, host, port, token)
  return drain
}

// --- What is counted ---------------------------------------------------------

// observe sees what the server gives to the application, just before. It is no
// listener: with one for 'upgrade' Node.js takes all requests with an Upgrade header
// (h2c is one) away from 'request', and there are libraries that remove the
// listeners of others.
function observe (drain, server) {
  const { emit } = server
  const connections = new WeakMap()
  server.emit = function (event, request, of) {
    switch (event) {
      case 'request':
      case 'checkContinue':
      case 'checkExpectation':
        if (isNew(drain, of)) owe(drain, request, of, connections)
        break
      case 'upgrade':
      case 'connect':
        if (isNew(drain, of)) hand(drain, of)
    }
    return emit.apply(this, arguments)
  }
}

// isNew is false for what is emitted again, and for what has nobody waiting any more.
const isNew = (drain, of) => !drain.has(of) && !of.destroyed

// hand counts a connection that is the application's from now on.
function hand (drain, socket) {
  drain.begin(socket)
  drain.moveToLongLived(socket)
  socket.once('close', () => drain.end(socket))
}

// owe counts a response until it is sent, or its client is gone.
function owe (drain, request, response, connections) {
  drain.begin(response)
  response.once('close', () => drain.end(response))
  if (request.httpVersionMajor !== 1) return
  endWith(request.socket, drain, response, connections)
  sayClose(drain, response)
}

// endWith ends a response with its connection: one that waits there for another
// one to be sent (pipelining) hears nothing of it.
function endWith (socket, drain, response, connections) {
  let owed = connections.get(socket)
  if (!owed) {
    owed = new Set()
    connections.set(socket, owed)
    socket.once('close', () => owed.forEach((one) => drain.end(one)))
  }
  owed.add(response)
  response.once('close', () => owed.delete(response))
}

// sayClose has a response say that it is the last on its connection, whatever the
// application says, and as late as it can: one that was long at work when the
// draining began says it, too. A switch of protocols needs its own Connection.
function sayClose (drain, response) {
  const writeHead = response.writeHead
  response.writeHead = function (code, reason, headers) {
    if (!drain.draining || Number(code) === 101) return writeHead.apply(this, arguments)
    if (typeof reason === 'string') return writeHead.call(this, code, reason, closing(headers))
    return writeHead.call(this, code, closing(headers ?? reason))
  }
}

// closing is headers in any of the three forms that writeHead takes, with
// "Connection: close". The form stays: only lists can repeat a name, and
// setHeader would have writeHead forget the repetitions.
function closing (headers) {
  if (!Array.isArray(headers)) {
    const others = Object.entries(headers ?? {}).filter(([name]) => !isConnection(name))
    return Object.fromEntries([...others, ['Connection', 'close']])
  }
  if (Array.isArray(headers[0])) {
    return [...headers.filter(([name]) => !isConnection(name)), ['Connection', 'close']]
  }
  return [...headers.filter((_, i) => !isConnection(headers[i & ~1])), 'Connection', 'close']
}

const isConnection = (name) => String(name).toLowerCase() === 'connection'

// --- What is answered --------------------------------------------------------

const METHODS = new Map([['/drain-status', ['GET', 'HEAD']], ['/drain', ['POST']]])

function listen (drain, host, port, token) {
  let trusted = false // nobody but this pod gets here
  const listener = http.createServer((request, response) => {
    const [path, query] = request.url.split('?', 2) // may be no URL, as "//" is none
    const methods = METHODS.get(path)
    if (!methods) return reply(response, 404, 'not found\n')
    if (!methods.includes(request.method)) return reply(response, 405, 'method not allowed\n', { Allow: methods.join(', ') })
    if (path === '/drain-status') return status(drain, query, response)
    const why = trusted ? '' : unauthorized(request, token)
    if (why) return reply(response, 403, why)
    notify(drain, request, response)
  })
  // Of the listener, not of the request: behind a proxy in the pod everybody comes
  // from 127.0.0.1, and arrives there.
  listener.on('listening', () => { trusted = isLoopback(listener.address().address) })
  return listener.listen(port, host)
}

const isLoopback = (address) => /^((::ffff:)?127\.|::1$)/.test(address)

// unauthorized says why a notification is refused, '' where it is not. Hashes are
// compared, so that the time taken tells nothing.
function unauthorized (request, token) {
  if (!token) return `no token is configured, so nobody may notify on this port: set ${TOKEN_ENV}\n`
  const want = crypto.createHash('sha256').update(token).digest()
  const got = crypto.createHash('sha256').update(request.headers[TOKEN_HEADER.toLowerCase()] ?? '', 'latin1').digest()
  return crypto.timingSafeEqual(want, got) ? '' : `the header ${TOKEN_HEADER} does not carry the token of this pod\n`
}

function reply (response, code, text, headers = {}) {
  response.writeHead(code, { 'Content-Type': 'text/plain', 'Content-Length': Buffer.byteLength(text), 'Cache-Control': 'no-store', ...headers })
  response.end(text)
}

const replyStatus = (drain, response) => reply(response, 200, drain.status(), { 'Content-Type': 'application/json' })

let waits = 0

// status holds its answer for waitSeconds, or until nothing is in flight.
function status (drain, query, response) {
  const wish = new URLSearchParams(query).get('waitSeconds') || '0'
  if (!/^\d{1,10}$/.test(wish)) return reply(response, 400, 'waitSeconds is not a number of whole seconds\n')
  const seconds = Math.min(Number(wish), MAX_WAIT_SECONDS)
  if (drain.inFlight.size === 0 || seconds === 0 || waits >= MAX_WAITS) return replyStatus(drain, response)
  waits++
  const done = () => {
    clearTimeout(timer)
    drain.off('idle', done)
    response.off('close', done)
    waits--
    if (!response.destroyed) replyStatus(drain, response)
  }
  const timer = setTimeout(done, seconds * 1000)
  drain.once('idle', done)
  response.once('close', done)
}

function notify (drain, request, response) {
  const parts = []
  let size = 0
  const take = (part) => {
    size += part.length
    if (size <= MAX_BODY_BYTES) return parts.push(part)
    request.off('data', take).off('end', decide).resume() // or the answer does not arrive
    reply(response, 413, 'the notification is too large\n')
  }
  const decide = () => {
    let draining
    try { draining = JSON.parse(Buffer.concat(parts)).draining } catch { }
    if (typeof draining !== 'boolean') return reply(response, 400, 'a notification is {"draining": true} or {"draining": false}\n')
    drain.set(draining)
    replyStatus(drain, response)
  }
  request.on('data', take).on('end', decide)
}

module.exports = { attach, HOST, PORT }
