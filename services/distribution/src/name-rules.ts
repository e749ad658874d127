import { BlockList, isIP, isIPv4 } from "node:net";
import { DomainError } from "@claviger/domain-error";
import { type Identity, identityFromName, shortName } from "@claviger/identity";
import { checkDnsName, checkEmail, checkUri, type SubjectAltName } from "@claviger/x509";
import type { NameKind, NameRuleRow } from "./store/name-rules.ts";

export const nameKinds: readonly NameKind[] = ["dns", "ip", "uri", "email"];

export function checkNameKind(kind: string): NameKind {
  const found = nameKinds.find((known) => known === kind);
  if (found !== undefined) return found;
  throw new DomainError("invalid-argument", `"${kind.slice(0, 40)}" is no kind of name`, {
    hint: `kinds are ${nameKinds.join(", ")}`,
  });
}

/** An identity, or the beginning of some: `workload/team/*`. @throws DomainError `invalid-argument` */
export function checkIdentityPattern(trustDomain: string, text: string): string {
  if (!text.endsWith("/*")) {
    const identity = identityFromName(trustDomain, text);
    if (identity.kind === "claviger" || identity.trustDomain !== trustDomain) {
      throw new DomainError("denied", "rules are for workloads and users of this trust domain");
    }
    return identity.uri;
  }
  const stem = text.slice(0, -2);
  if (!/^(spiffe:\/\/|(workload|user)(\/|$))/.test(stem)) {
    throw new DomainError("invalid-argument", "a star stands after workload/, user/ or a longer beginning", {
      hint: "such as workload/team/*",
    });
  }
  // What stands before the star has to be an identity's beginning; a whole kind is one too.
  const whole = /^(workload|user)$/.test(stem) ? `${stem}/x` : stem;
  const identity = identityFromName(trustDomain, whole);
  if (identity.kind === "claviger" || identity.trustDomain !== trustDomain) {
    throw new DomainError("denied", "rules are for workloads and users of this trust domain");
  }
  return `${whole === stem ? identity.uri : identity.uri.slice(0, -"/x".length)}/*`;
}

/** The canonical form of a pattern. @throws DomainError `invalid-argument` */
export function checkPattern(kind: NameKind, pattern: string): string {
  if (kind === "dns") return checkDnsPattern(pattern);
  if (kind === "ip") return checkIpPattern(pattern);
  if (kind === "email") {
    return pattern.startsWith("*@") ? `*@${checkDnsName(pattern.slice(2))}` : checkEmail(pattern);
  }
  if (/^(spiffe|urn:claviger):/i.test(pattern)) {
    throw new DomainError("denied", "identities and Claviger's own names are not given out by rules");
  }
  if (!pattern.endsWith("*")) return checkUri(pattern);
  // A star after less than a whole authority would let others' hosts in: https://example.* is example.evil too.
  const stem = pattern.slice(0, -1);
  if (!/^[a-z][a-z0-9+.-]*:(\/\/[^/?#*]+\/|[^/*])/i.test(stem)) {
    throw new DomainError("invalid-argument", "a URI's star stands after a whole host and a slash", {
      hint: "such as https://example.com/services/*",
    });
  }
  return `${checkUri(stem)}*`;
}

function checkDnsPattern(pattern: string): string {
  if (!pattern.startsWith(".")) return checkDnsName(pattern);
  const suffix = checkDnsName(pattern.slice(1));
  if (suffix.startsWith("*")) {
    throw new DomainError("invalid-argument", "a pattern has either a dot or a star at its beginning");
  }
  return `.${suffix}`;
}

function checkIpPattern(pattern: string): string {
  const [address = "", prefix, ...more] = pattern.split("/");
  const bits = prefix === undefined ? undefined : Number(prefix);
  const most = isIPv4(address) ? 32 : 128;
  const isBlock = bits === undefined || (/^\d{1,3}$/.test(prefix ?? "") && bits <= most);
  if (isIP(address) !== 0 && !address.includes("%") && isBlock && more.length === 0)
    return pattern.toLowerCase();
  throw new DomainError("invalid-argument", `"${pattern.slice(0, 60)}" is neither an address nor a block`, {
    hint: "such as 192.0.2.7, 10.1.0.0/16 or 2001:db8::/32",
  });
}

/** The rule that lets the identity have the name. */
export function permittingRule(
  rules: readonly NameRuleRow[],
  identity: Identity,
  name: SubjectAltName,
): NameRuleRow | undefined {
  return rules.find((rule) => coversIdentity(rule.identity, identity.uri) && covers(rule, name));
}

/** @throws DomainError `denied`, naming the name and the rules that there are */
export function requireNames(
  rules: readonly NameRuleRow[],
  identity: Identity,
  profile: string,
  names: readonly SubjectAltName[],
): void {
  const refused = names.find((name) => permittingRule(rules, identity, name) === undefined);
  if (refused === undefined) return;
  const own = rules.filter((rule) => coversIdentity(rule.identity, identity.uri));
  const [[kind, value] = ["", ""]] = Object.entries(refused);
  throw new DomainError(
    "denied",
    `no rule of profile ${profile} lets ${shortName(identity)} have ${kind}:${value}`,
    {
      hint:
        own.length === 0
          ? `an administrator can add one: claviger certs rules add --profile ${profile} --to NAME --${kind} PATTERN`
          : `its rules: ${own
              .map((rule) => `${rule.kind}:${rule.pattern} (${rule.id.slice(0, 8)})`)
              .slice(0, 10)
              .join(", ")}`,
    },
  );
}

function coversIdentity(pattern: string, uri: string): boolean {
  return pattern.endsWith("/*") ? uri.startsWith(pattern.slice(0, -1)) : uri === pattern;
}

function covers({ kind, pattern }: NameRuleRow, name: SubjectAltName): boolean {
  if (kind === "dns" && "dns" in name) return coversDns(pattern, name.dns.toLowerCase());
  if (kind === "ip" && "ip" in name) return coversIp(pattern, name.ip);
  if (kind === "email" && "email" in name) {
    const domain = name.email.slice(name.email.lastIndexOf("@"));
    return pattern.startsWith("*@") ? domain === pattern.slice(1) : name.email === pattern;
  }
  if (kind === "uri" && "uri" in name) {
    return pattern.endsWith("*") ? coversUri(pattern.slice(0, -1), name.uri) : name.uri === pattern;
  }
  return false;
}

/** A wildcard name is let out by a pattern that is itself, or of any depth; never by one that it merely looks like. */
function coversDns(pattern: string, name: string): boolean {
  if (pattern.startsWith(".")) return name.endsWith(pattern);
  if (name === pattern) return true;
  if (!pattern.startsWith("*.") || name.startsWith("*")) return false;
  const suffix = pattern.slice(1);
  return name.endsWith(suffix) && !name.slice(0, -suffix.length).includes(".") && name.length > suffix.length;
}

/** Dots and percent signs could climb out of what the star stands for. */
function coversUri(stem: string, uri: string): boolean {
  return uri.startsWith(stem) && !/\.\.|%|\/\.(\/|$)/.test(uri.slice(stem.length));
}

function coversIp(pattern: string, ip: string): boolean {
  const [address = "", prefix] = pattern.split("/");
  const family = isIPv4(address) ? "ipv4" : "ipv6";
  const list = new BlockList();
  if (prefix === undefined) list.addAddress(address, family);
  else list.addSubnet(address, Number(prefix), family);
  // An IPv4 address inside an IPv6 one is another name.
  return (isIPv4(ip) ? "ipv4" : "ipv6") === family && list.check(ip, family);
}
