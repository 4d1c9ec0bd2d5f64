// How an answer is shown, by the task of its head; dense heads have a map. Each is a component with `head` (the
// contract's), `answer` (the head's part of a prediction), and for maps `model` and `given`.
import { Classes } from "./classes.js";
import { Labels } from "./labels.js";
import { Maps } from "./maps.js";
import { Numbers } from "./numbers.js";

const ANSWERS = { classification: Classes, multilabel: Labels, regression: Numbers };

export const answerOf = (head) => (head.grid.length ? Maps : ANSWERS[head.task]);
