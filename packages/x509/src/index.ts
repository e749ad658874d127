export { buildCertificate, type CertificateOptions } from "./certificate.ts";
export {
  buildCrl,
  type CrlEntry,
  type CrlOptions,
  crlEntriesMax,
  isRevocationReason,
  type RevocationReason,
  revocationReasons,
} from "./crl.ts";
export { type CertificateSigningRequest, csrBytesMax, parseCertificateSigningRequest } from "./csr.ts";
export { buildCertificateSigningRequest } from "./csr-builder.ts";
export * as der from "./der.ts";
export {
  checkDer,
  createDerReader,
  type DerReader,
  type DerValue,
  derToBits,
  derToBoolean,
  derToNumber,
  derToOid,
  derToTime,
  derToUnsigned,
  readDer,
  readDerChildren,
} from "./der-reader.ts";
export { ecdsaDerToRaw, ecdsaRawToDer } from "./ecdsa-signature.ts";
export {
  type BasicConstraints,
  type ExtendedKeyUsageName,
  type KeyUsageName,
  keyIdentifier,
} from "./extensions.ts";
export { decodeSubjectAltNames, describeName, encodeName, encodeSubjectAltNames } from "./name-encoding.ts";
export {
  checkDnsName,
  checkEmail,
  checkNameText,
  checkSubjectAltName,
  checkSubjectAltNames,
  checkUri,
  isEmptyName,
  type Name,
  type SubjectAltName,
  sameSubjectAltName,
  subjectAltNamesMax,
} from "./names.ts";
export {
  type OcspCertificateId,
  type OcspHash,
  type OcspRequest,
  ocspEntriesMax,
  ocspRequestBytesMax,
  readOcspRequest,
} from "./ocsp-request.ts";
export {
  assembleOcspResponse,
  encodeOcspCertificateId,
  encodeOcspResponseData,
  type OcspEntry,
  type OcspRefusal,
  type OcspStatus,
  ocspRefusal,
  publicKeyBits,
} from "./ocsp-response.ts";
export { decodePem, decodePemBlocks, encodePem, type PemBlock, type PemLimits, pemOrDer } from "./pem.ts";
export { type KeyType, type LoadedPublicKey, loadPublicKey } from "./public-key.ts";
export { publicKeyOf } from "./public-key-of.ts";
export { type Certificate, readCertificate, splitChain } from "./read-certificate.ts";
export { randomSerial, serialFromHex, serialToHex } from "./serial.ts";
export { buildSignedRequest } from "./signed-request.ts";
export { attachSignature, type CertificateSigner, type SignerAlgorithm, signerAlgorithms } from "./signer.ts";
export { type ChainQuestion, type ChainVerdict, chainLengthMax, verifyChain } from "./verify-chain.ts";
