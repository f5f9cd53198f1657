'use strict'
// The example server's way to use drain.js. It prints where it listens. After the
// host of the status listener come the events that the application listens to.
const http = require('node:http')
const { attach } = require('../drain')

// Ways to say keep-alive by oneself. What else they say has to stay.
const cookies = ['Set-Cookie', 'a=1', 'Set-Cookie', 'b=2']
const keepAlive = {
  implicit: (r) => { r.setHeader('connection', 'keep-alive'); r.setHeader('set-cookie', ['a=1', 'b=2']) },
  removed: (r) => { r.removeHeader('Connection'); r.setHeader('set-cookie', ['a=1', 'b=2']) },
  object: (r) => r.writeHead(200, { Connection: 'keep-alive', 'Set-Cookie': ['a=1', 'b=2'] }),
  case: (r) => r.writeHead(200, { cOnNeCtIoN: 'keep-alive', CONNECTION: 'keep-alive', 'Set-Cookie': ['a=1', 'b=2'] }),
  reason: (r) => r.writeHead(200, 'OK', { connection: 'keep-alive', 'Set-Cookie': ['a=1', 'b=2'] }),
  nothing: (r) => r.writeHead(200, undefined, { connection: 'keep-alive', 'Set-Cookie': ['a=1', 'b=2'] }),
  list: (r) => r.writeHead(200, ['connection', 'keep-alive', ...cookies]),
  pairs: (r) => r.writeHead(200, [['Connection', 'keep-alive'], ['Set-Cookie', 'a=1'], ['Set-Cookie', 'b=2']]),
  both: (r) => { r.setHeader('Connection', 'keep-alive'); r.writeHead(200, { connection: 'keep-alive', 'Set-Cookie': ['a=1', 'b=2'] }) }
}

const server = http.createServer(handle)

function handle (request, response) {
  const url = new URL(request.url, 'http://localhost')
  if (url.pathname === '/events') {
    drain.moveToLongLived(response)
    response.writeHead(200, { 'Content-Type': 'text/event-stream' })
    response.write('data: 1\n\n')
    drain.whenDraining(() => response.end('retry: 200\n\n'))
    return
  }
  if (url.pathname === '/fails') {
    drain.whenDraining(() => { throw new Error('of the application') })
    process.once('uncaughtException', () => response.end('failed\n'))
    return
  }
  if (url.pathname === '/switch') {
    response.writeHead(101, { Connection: 'Upgrade', Upgrade: 'echo' })
    return response.end()
  }
  const ms = Number(url.searchParams.get('ms') ?? 0)
  setTimeout(() => {
    keepAlive[url.searchParams.get('says')]?.(response)
    response.end('done\n') // often without writeHead: the header must be there all the same
  }, ms)
}

const [status, ...events] = process.argv.slice(2)
const drain = attach(server, { host: status, port: 0 })

const serve = (socket, first) => {
  socket.write(first)
  socket.resume().on('end', () => socket.end())
}
const listeners = {
  upgrade: (request, socket) => serve(socket, 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n'),
  connect: (request, socket) => serve(socket, 'HTTP/1.1 200 OK\r\n\r\n'),
  request: handle, // in the place of whatever was there, as some libraries do it
  checkContinue: (request, response) => {
    response.writeContinue()
    if (request.url.includes('again')) server.emit('request', request, response)
    else handle(request, response)
  }
}
for (const event of events) {
  if (event === 'request') server.removeAllListeners(event)
  server.on(event, listeners[event])
}

server.listen(0, '127.0.0.1', () => {
  const say = () => console.log(`127.0.0.1:${server.address().port} 127.0.0.1:${drain.listener.address().port}`)
  drain.listener.listening ? say() : drain.listener.once('listening', say)
})
