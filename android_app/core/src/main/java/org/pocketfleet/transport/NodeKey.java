package org.pocketfleet.transport;

import java.security.GeneralSecurityException;

/** The key pair that names a client to the server: elliptic curve P-384. It may be in hardware. */
public interface NodeKey {
  /** The public key as PEM (SubjectPublicKeyInfo), as the server knows it. */
  byte[] publicPem();

  /**
   * Signs with SHA-256 and ECDSA.
   *
   * @return the signature in DER
   * @throws GeneralSecurityException the key cannot be used (any more)
   */
  byte[] sign(byte[] message) throws GeneralSecurityException;
}
