package org.pocketfleet.bundle;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PublicKey;
import java.security.Signature;
import java.security.spec.X509EncodedKeySpec;
import java.util.Arrays;
import java.util.Base64;
import org.pocketfleet.Hex;
import org.pocketfleet.Pem;

/** Detached signatures: ECDSA over P-256 with SHA-256 ({@code manifest.sig}). */
final class SignatureFile {
  static final int MAX_BYTES = 4096;

  private static final String ALGORITHM = "ECDSA-P256-SHA256";
  private static final String BEGIN = "-----BEGIN PUBLIC KEY-----";
  private static final String END = "-----END PUBLIC KEY-----";

  /** How the DER of every P-256 public key begins; the coordinates of a point follow. */
  private static final byte[] P256_PREFIX =
      Base64.getDecoder().decode("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE");

  private static final int COORDINATES_BYTES = 64;

  private final byte[] key;
  private final byte[] signature;

  private SignatureFile(byte[] key, byte[] signature) {
    this.key = key;
    this.signature = signature;
  }

  /**
   * Reads a signature file.
   *
   * @throws BundleSignatureException it is malformed
   */
  static SignatureFile read(ByteBuffer json) throws BundleSignatureException {
    try {
      Fields fields = Fields.parse(json, "manifest.sig");
      String algorithm = fields.take("algorithm", Fields::text);
      byte[] key = publicKey(fields.take("public_key", Fields::text));
      String signature = fields.take("signature", Fields::text);
      fields.end();
      if (!algorithm.equals(ALGORITHM)) {
        throw new BundleSignatureException("manifest.sig: unknown algorithm '" + algorithm + "'");
      }
      return new SignatureFile(key, Base64.getDecoder().decode(signature));
    } catch (BundleFormatException | IllegalArgumentException error) {
      throw new BundleSignatureException(
          "manifest.sig: not a signature file: " + error.getMessage());
    }
  }

  /**
   * Reads the PEM of a public key.
   *
   * @return its DER
   * @throws IllegalArgumentException it is not the PEM of a P-256 public key
   */
  static byte[] publicKey(String pem) {
    String text = pem.trim();
    if (!text.startsWith(BEGIN) || !text.endsWith(END)) {
      throw new IllegalArgumentException("not the PEM of a public key");
    }
    String body = text.substring(BEGIN.length(), text.length() - END.length());
    byte[] der = Base64.getDecoder().decode(body.replaceAll("\\s", ""));
    byte[] prefix = Arrays.copyOf(der, P256_PREFIX.length);
    if (der.length != P256_PREFIX.length + COORDINATES_BYTES
        || !Arrays.equals(prefix, P256_PREFIX)) {
      throw new IllegalArgumentException("not a P-256 public key");
    }
    return der;
  }

  /** A key's fingerprint, as it is told to people: {@code SHA256:} and 64 hexadecimal digits. */
  static String fingerprint(byte[] der) {
    return "SHA256:" + Hex.sha256(ByteBuffer.wrap(der));
  }

  /** DER of the key that made the signature, as the file says. */
  byte[] key() {
    return key.clone();
  }

  /**
   * Checks the signature.
   *
   * @throws BundleSignatureException it is not one of {@code data} by {@link #key()}
   */
  void verify(byte[] data) throws BundleSignatureException {
    boolean fits;
    try {
      PublicKey publicKey =
          KeyFactory.getInstance("EC").generatePublic(new X509EncodedKeySpec(key));
      Signature verifier = Signature.getInstance("SHA256withECDSA");
      verifier.initVerify(publicKey);
      verifier.update(data);
      fits = verifier.verify(signature);
    } catch (GeneralSecurityException error) {
      throw new BundleSignatureException("manifest.sig cannot be checked: " + error.getMessage());
    }
    if (!fits) {
      throw new BundleSignatureException(
          "manifest.sig does not fit manifest.json: one of the two was altered");
    }
  }

  /** The PEM of a public key. */
  static String pem(byte[] der) {
    return new String(Pem.encode("PUBLIC KEY", der), StandardCharsets.US_ASCII);
  }
}
