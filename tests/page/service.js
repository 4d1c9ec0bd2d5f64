// The service for tests of its pages: the whole program as a process, over the shipped models.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const PATIENCE = 60_000; // ms
const SHIPPED = {
  MASKSEMBLES_PIN: "digits:3,fashion-mnist:4", // those that README shows, in a checkout where `make models` added others
  MASKSEMBLES_LOAD: "lazy", // those that a test asks
  MASKSEMBLES_QUEUE_TIMEOUT_MS: String(PATIENCE), // loading one takes long on a busy machine
};

/** A port of this machine that nobody listens on. */
export async function freePort() {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  await once(probe, "close");
  return port;
}

/**
 * Starts the service and waits until it answers.
 *
 * @param {Record<string, string>} settings environment variables; with `MASKSEMBLES_PORT` the service comes back
 *   where another was
 * @returns `url`, its origin without a slash at the end; `port`; and `stop()`, which ends it and waits for that
 * @throws Error with what it logged, if it ends before it answers
 */
export async function startService(settings = {}) {
  const port = Number(settings.MASKSEMBLES_PORT ?? (await freePort()));
  const url = `http://127.0.0.1:${port}`;
  const env = { ...process.env, ...SHIPPED, ...settings, MASKSEMBLES_PORT: String(port) };
  const child = spawn(`${ROOT}/.venv/bin/python`, ["-m", "app"], { cwd: ROOT, env, stdio: ["ignore", "ignore", "pipe"] });
  let log = "";
  child.stderr.on("data", (text) => (log = (log + text).slice(-10_000)));
  const ended = once(child, "exit");
  ended.catch(() => {}); // it could not be started: told below
  const end = () => child.kill("SIGTERM");
  process.once("exit", end);
  const stop = async () => {
    process.off("exit", end);
    if (child.exitCode === null && child.signalCode === null && end()) await ended;
  };
  for (const until = Date.now() + PATIENCE; Date.now() < until && child.exitCode === null; await sleep(50)) {
    try {
      if ((await fetch(`${url}/health/ready`)).ok) return { url, port, stop };
    } catch {
      // nobody listens there yet
    }
  }
  await stop();
  throw new Error(`the service does not answer: ${log}`);
}
