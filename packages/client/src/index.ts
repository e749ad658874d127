export { type CallOptions, type Client, createServiceClient } from "./service-client.ts";
export { Transport, type TransportOptions } from "./transport.ts";
