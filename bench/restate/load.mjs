// Restate's single node under load: a durable handler of n steps, called over the HTTP ingress.
//   node load.mjs FOLDER [--in-flight N] [--seconds S] [--activities N]
// FOLDER has node_modules with @restatedev/restate-server and @restatedev/restate-sdk. Starts server and service,
// prints one JSON object as the Go and Python loads do, and stops what it started.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

// Restate's SDK wants it; Node has it from version 22 on.
Promise.withResolvers ??= function () {
  const out = {};
  out.promise = new this((yes, no) => Object.assign(out, { resolve: yes, reject: no }));
  return out;
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    "in-flight": { type: "string", default: "64" },
    seconds: { type: "string", default: "3" },
    activities: { type: "string", default: "1" },
  },
});
const folder = resolve(positionals[0]);
const inFlight = Number(values["in-flight"]);
const activities = Number(values.activities);
process.env.RESTATE_LOGGING = "ERROR";
const restate = createRequire(join(folder, "load.js"))("@restatedev/restate-sdk");

const freePort = () =>
  new Promise((done) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => done(port));
    });
  });
const [ingress, admin, node, service] = await Promise.all([freePort(), freePort(), freePort(), freePort()]);

async function eventually(what, ask) {
  for (let i = 0; i < 300; i++) {
    try {
      const answer = await ask();
      if (answer.ok) return answer;
    } catch {
      // not there yet
    }
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new Error(`${what} never came`);
}

restate.serve({
  port: service,
  services: [
    restate.service({
      name: "steps",
      handlers: {
        run: async (ctx, n) => {
          let sum = 0;
          for (let i = 1; i <= n; i++) sum += await ctx.run("same", () => i);
          return sum;
        },
      },
    }),
  ],
});

const data = mkdtempSync(join(tmpdir(), "restate-"));
const server = spawn(join(folder, "node_modules/.bin/restate-server"), ["--base-dir", data], {
  stdio: "ignore",
  detached: true,
  env: {
    ...process.env,
    RESTATE_LISTEN_MODE: "tcp",
    RESTATE_BIND_ADDRESS: `127.0.0.1:${node}`,
    RESTATE_ADMIN__BIND_ADDRESS: `127.0.0.1:${admin}`,
    RESTATE_INGRESS__BIND_ADDRESS: `127.0.0.1:${ingress}`,
    RESTATE_AUTO_PROVISION: "true",
    RESTATE_LOG_FILTER: "error",
    DO_NOT_TRACK: "1",
  },
});

// Resident memory of the server's process group: the package starts the binary from a script.
function residentMegabytes() {
  let kilobytes = 0;
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const group = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /, "").split(" ")[2];
      const text = readFileSync(`/proc/${pid}/cmdline`, "utf8");
      if (Number(group) === server.pid && !text.startsWith("node")) {
        kilobytes += Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]);
      }
    } catch {
      // it has ended meanwhile
    }
  }
  return kilobytes / 1024;
}

const post = (url, body) =>
  fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
const began = performance.now();
let status = 1;
try {
  await eventually("the server", () => fetch(`http://127.0.0.1:${admin}/health`));
  const ready = performance.now() - began;
  await eventually("the registration", () =>
    post(`http://127.0.0.1:${admin}/deployments`, { uri: `http://127.0.0.1:${service}`, use_http_11: false }));
  const run = async () => {
    const answer = await post(`http://127.0.0.1:${ingress}/steps/run`, activities);
    const sum = await answer.json();
    if (!answer.ok || sum !== (activities * (activities + 1)) / 2) throw new Error(JSON.stringify(sum));
  };
  await eventually("the first answer", async () => ({ ok: (await run(), true) }));
  const latencies = [];
  const from = performance.now();
  const end = from + Number(values.seconds) * 1000;
  const slot = async () => {
    while (performance.now() < end) {
      const start = performance.now();
      await run();
      latencies.push(performance.now() - start);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, slot));
  const seconds = (performance.now() - from) / 1000;
  latencies.sort((a, b) => a - b);
  console.log(JSON.stringify({
    per_second: latencies.length / seconds, completed: latencies.length, failed: 0, seconds,
    p50_ms: latencies[latencies.length >> 1], p99_ms: latencies[Math.floor(latencies.length * 0.99)],
    ready_ms: ready, rss_mb: residentMegabytes(),
  }));
  status = 0;
} catch (error) {
  console.error(String(error));
}
try {
  process.kill(-server.pid, "SIGKILL");
} catch {
  // it has ended by itself
}
rmSync(data, { recursive: true, force: true });
process.exit(status);
