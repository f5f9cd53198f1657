// Package load sends HTTP requests to a workload and tells exactly what became
// of each of them.
//
// It exists because a rollout's cut requests are easy to miss: net/http repeats
// a GET by itself when a reused connection turns out to be closed, and a client
// that waits for slow answers sends less just when it matters. Here every
// request is sent once, at a time fixed beforehand (an open loop), and its end
// is recorded with a cause.
//
// # Connections that do not end by themselves
//
// Clients of WebSockets (GET /ws of the target's host) and of event streams
// (GET /events) hold one connection each. When they are told to go, or cut, they
// connect again: at once, or after the time that they were told. What a server
// says:
//
//   - who it is: the header Pod of its answer, or {"pod": "web-1"} at any time,
//     as a text message or as the data of an event;
//   - on a WebSocket, that the client is to go: close code 1012; or, where it
//     took the subprotocol echo.reconnect, which every other client offers, the
//     message {"reconnect": true, "afterMillis": 200}, after which it goes on
//     sending messages back until the client closes;
//   - on an event stream: a field "retry: 200" or "event: reconnect", which only
//     those may carry who are to go, and then the end of the stream.
//
// A client's messages are {"n": 17}, numbered from 1, sent at a steady pace
// whether or not the last one has come back, and a server sends each back as it
// is. Their account: a client that was told by {"reconnect": true} sends no
// more, waits for those under way and closes, so that none is left. One that was
// told by 1012 knows, since both directions of a connection keep their order,
// that what did not come back before that frame will not: those messages were
// declared unprocessed, and are the first that it sends on its next connection.
// Whatever else did not come back is lost: the client cannot know whether it
// was processed.
package load
