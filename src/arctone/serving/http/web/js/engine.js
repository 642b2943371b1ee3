// The engine behind the page: `arctone serve` over HTTP, or a worker in this page. Both offer the same calls.
//
//   kind                              "server" or "page"
//   models()                          the models, each with its fields, defaults and capabilities (GET /v1/models)
//   limits()                          {file_formats: names of the formats that a take can be saved in}
//   estimate(request, sourceSeconds, signal)   {steps, seconds (null: not known yet), duration_seconds}
//   order(request, audio, signal)     the job {id, state, ...}; audio: a Blob to start from, or null
//   follow(id, onChange, signal)      the final job; onChange receives every state of it on the way
//   audio(id, index, format, signal)  the sound of one take, a Blob
//   cancel(id)                        stops a job within one step
//   record(file)                      the record inside an audio file; Problem with status 422 if it has none
//   onUnauthorized(ask)               sets the dialog that asks for a token
//   words                             sentences that differ: {lostJob, lostTake(format), noModel(name)}
//
// A failure is a Problem, or an AbortError if its signal was the cause.

const isInPage = document.documentElement.dataset.engine === "page";

export const engine = await (isInPage ? import("./page_engine.js") : import("./server_engine.js"));
