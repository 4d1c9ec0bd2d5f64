// Asks a model whenever its input changes: one request at a time, and of what waits only the newest.
import { useEffect, useRef, useState } from "preact/hooks";
import { Gone, predict, ready } from "./api.js";

const AGAIN = 2000; // ms until the next look at a service that is gone

/** What came of it: { answer, seconds, given, model } or { error }. When the service is back, it is asked again. */
export function useAnswer(model, given, options) {
  const [found, setFound] = useState({});
  const state = useRef({ busy: false, next: null, alive: true });
  useEffect(() => () => (state.current.alive = false), []);

  const run = async (wanted) => {
    const { current } = state;
    if (current.busy) {
      current.next = wanted;
      return;
    }
    current.busy = true;
    let result;
    try {
      const { answer, seconds } = await predict(wanted.model, wanted.given, options);
      result = { answer, seconds, given: wanted.given, model: wanted.model };
    } catch (error) {
      result = { error };
    }
    current.busy = false;
    if (current.alive) setFound(result);
    const { next } = current;
    current.next = null;
    if (next) run(next);
  };

  useEffect(() => {
    if (model && given && Object.values(given).every(Boolean)) run({ model, given });
  }, [model?.name, model?.version, given]);
  useEffect(() => {
    if (!(found.error instanceof Gone)) return undefined;
    const timer = setInterval(() => ready().then(() => model && given && run({ model, given }), () => {}), AGAIN);
    return () => clearInterval(timer);
  }, [found.error]);
  return found;
}
