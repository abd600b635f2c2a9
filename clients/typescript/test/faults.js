// A proxy before a real server that fails as it is told to.

import http from "node:http";

/** Starts a proxy; `faults` are used up one per request, then all is passed on. */
export async function faultProxy(target) {
  const proxy = { faults: [], times: [], url: "", close: null };
  const server = http.createServer((request, response) => {
    proxy.times.push(Date.now());
    const fault = proxy.faults.shift() ?? "pass";
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => fail(fault, target, request, response, Buffer.concat(chunks)));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  proxy.url = `http://127.0.0.1:${server.address().port}`;
  proxy.close = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return proxy;
}

function fail(fault, target, request, response, body) {
  if (fault.startsWith("503")) {
    response.writeHead(503, { "retry-after": fault.split(":")[1] ?? "0", "content-type": "application/problem+json" });
    response.end(JSON.stringify({ detail: "no capacity" }));
  } else if (fault === "reset") {
    request.socket.resetAndDestroy();
  } else if (fault === "broken") {
    response.writeHead(200, { "content-length": "500" });
    response.write("{", () => request.socket.destroy());
  } else if (fault !== "hang") {
    pass(target, request, response, body);
  }
}

function pass(target, request, response, body) {
  const options = { method: request.method, headers: { ...request.headers, connection: "close" } };
  const onward = http.request(target + request.url, options, (found) => {
    response.writeHead(found.statusCode, found.headers);
    found.pipe(response);
  });
  onward.on("error", () => request.socket.destroy());
  onward.end(body);
}
