'use strict'
// The example server's way to use drain.js, on addresses of the test's own.
const http = require('node:http')
const { attach } = require('../drain')

const [address, status] = process.argv.slice(2).map((a) => a.split(':'))
const server = http.createServer((request, response) => {
  if (request.url === '/events') {
    drain.moveToLongLived(response)
    response.writeHead(200, { 'Content-Type': 'text/event-stream' })
    response.write('data: 1\n\n')
    drain.whenDraining(() => response.end('retry: 200\n\n'))
    return
  }
  const ms = Number(new URL(request.url, 'http://localhost').searchParams.get('ms') ?? 0)
  setTimeout(() => response.end('done\n'), ms) // without writeHead: the header must be there all the same
})
const drain = attach(server, { host: status[0], port: Number(status[1]) })
server.listen(Number(address[1]), address[0])
