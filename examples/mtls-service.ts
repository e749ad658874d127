// A workload that serves HTTPS to other workloads: both sides show certificates of Claviger's CA, and
// each checks who the other is. It renews at two thirds of its certificate's life without a restart.
//
//   node examples/mtls-service.ts [TOKEN-FILE] DIRECTORY [--self-check]
import { generateKeyPairSync, type X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, request } from "node:https";
import type { AddressInfo } from "node:net";
import type { PeerCertificate, TLSSocket } from "node:tls";
import { createClaviger, enrollWithToken, findConfigFile, readConfigFile, writeIdentity } from "@claviger/client";
