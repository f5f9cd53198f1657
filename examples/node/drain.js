'use strict'
// The drain-status protocol, version 1, for a server of Node.js. No dependencies.
//
//   const server = http.createServer(handler)
//   const drain = require('./drain').attach(server)   // 127.0.0.1:8089
//
// It counts the requests that are owed a response, answers GET /drain-status and
// POST /drain on a listener of its own, and has each response say
// "Connection: close" while draining.

const { EventEmitter } = require('node:events')
const http = require('node:http')

const HOST = '127.0.0.1'
const PORT = 8089
const MAX_BODY_BYTES = 64 << 10
const MAX_WAIT_SECONDS = 30
const MAX_WAITS = 4

class Drain extends EventEmitter {
  constructor () {
    super()
    this.setMaxListeners(0)
    this.draining = false
    this.inFlight = new Map() // response or socket → when it began, in ms
    this.longLived = new Set()
  }

  begin (of) { this.inFlight.set(of, performance.now()) }

  end (of) {
    this.longLived.delete(of)
    if (this.inFlight.delete(of) && this.inFlight.size === 0) this.emit('idle')
  }

  // moveToLongLived is for what does not end by itself: it keeps no pod.
  moveToLongLived (of) {
    if (!this.inFlight.has(of)) return
    this.longLived.add(of)
    this.inFlight.delete(of)
    if (this.inFlight.size === 0) this.emit('idle')
  }

  // whenDraining calls back once: whoever serves a long-lived connection then
  // tells its client to connect elsewhere. It returns how to forget it.
  whenDraining (callback) {
    if (this.draining) setImmediate(callback)
    else this.once('draining', callback)
    return () => this.off('draining', callback)
  }

  set (draining) {
    if (draining === this.draining) return
    this.draining = draining
    if (draining) this.emit('draining')
  }

  status () {
    const oldest = this.inFlight.values().next().value
    return JSON.stringify({
      version: 1,
      draining: this.draining,
      inFlight: this.inFlight.size,
      longLived: this.longLived.size,
      oldestInFlightSeconds: oldest === undefined ? 0 : (performance.now() - oldest) / 1000
    }) + '\n'
  }
}

function attach (server, { host = HOST, port = PORT } = {}) {
  const drain = new Drain()
  // Before the application, which may answer at once.
  server.prependListener('request', (request, response) => {
    drain.begin(response)
    response.once('close', () => drain.end(response)) // sent, or its client is gone
    sayClose(drain, response)
  })
  server.prependListener('upgrade', (request, socket) => {
    drain.begin(socket)
    drain.moveToLongLived(socket)
    socket.once('close', () => drain.end(socket))
  })
  drain.listener = http.createServer((request, response) => answer(drain, request, response))
  drain.listener.listen(port, host)
  return drain
}

// sayClose has a response say that it is the last on its connection, as late as
// it can: one that was long at work when the draining began says it, too.
function sayClose (drain, response) {
  const writeHead = response.writeHead
  response.writeHead = function (...args) {
    if (drain.draining) this.shouldKeepAlive = false
    return writeHead.apply(this, args)
  }
}

let waits = 0

function answer (drain, request, response) {
  const url = new URL(request.url, 'http://localhost')
  if (url.pathname === '/drain-status' && request.method === 'GET') return status(drain, url, response)
  if (url.pathname === '/drain' && request.method === 'POST') return notify(drain, request, response)
  reply(response, 404, 'not found\n')
}

function reply (response, code, text, type = 'text/plain') {
  response.writeHead(code, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(text), 'Cache-Control': 'no-store' })
  response.end(text)
}

// status holds its answer for waitSeconds, or until nothing is in flight.
function status (drain, url, response) {
  const seconds = Math.min(parseInt(url.searchParams.get('waitSeconds') ?? '0', 10) || 0, MAX_WAIT_SECONDS)
  const say = () => reply(response, 200, drain.status(), 'application/json')
  if (drain.inFlight.size === 0 || seconds <= 0 || waits >= MAX_WAITS) return say()
  waits++
  const done = () => {
    clearTimeout(timer)
    drain.off('idle', done)
    response.off('close', done)
    waits--
    if (!response.destroyed) say()
  }
  const timer = setTimeout(done, seconds * 1000)
  drain.once('idle', done)
  response.once('close', done)
}

function notify (drain, request, response) {
  let text = ''
  request.setEncoding('utf8')
  request.on('data', (part) => {
    text += part
    if (text.length > MAX_BODY_BYTES) request.destroy()
  })
  request.on('end', () => {
    let draining
    try { draining = JSON.parse(text).draining } catch { }
    if (typeof draining !== 'boolean') return reply(response, 400, 'a notification is {"draining": true} or {"draining": false}\n')
    drain.set(draining)
    reply(response, 200, drain.status(), 'application/json')
  })
}

module.exports = { attach, HOST, PORT }
