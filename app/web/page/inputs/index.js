// The ways to give an input, by its kind. Each is a component with `contract`, `input`, `examples` and
// `give(value)`, which it calls with { picture: Blob } or { values }, or with null while there is nothing to ask.
import { Json } from "./json.js";
import { Picture } from "./picture.js";
import { Plane } from "./plane.js";
import { Row } from "./row.js";
import { Text } from "./text.js";

export const INPUTS = { picture: Picture, text: Text, plane: Plane, row: Row, json: Json };
