package org.pocketfleet.transport;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import org.pocketfleet.Hex;
import org.pocketfleet.Pem;

/** What a public key is called in different places. */
public final class NodeKeys {
  private static final String SSH_TYPE = "ecdsa-sha2-nistp384";
  private static final int FINGERPRINT_DIGITS = 16;

  private NodeKeys() {}

  /** A short name, safe to print: {@code sha256:} and 16 hexadecimal digits. */
  public static String fingerprint(NodeKey key) {
    String hash = Hex.sha256(ByteBuffer.wrap(key.publicPem()));
    return "sha256:" + hash.substring(0, FINGERPRINT_DIGITS);
  }

  /**
   * The public key as OpenSSH writes it, which is what {@code flwr supernode register} reads.
   *
   * @throws IllegalArgumentException the key is not on P-384
   */
  public static String ssh(NodeKey key) {
    byte[] der = Pem.decode("PUBLIC KEY", key.publicPem());
    byte[] point = der == null ? null : P384.pointOf(der);
    if (point == null) {
      throw new IllegalArgumentException("not the PEM of a public key on P-384");
    }
    ByteArrayOutputStream blob = new ByteArrayOutputStream();
    field(blob, SSH_TYPE.getBytes(StandardCharsets.US_ASCII));
    field(blob, "nistp384".getBytes(StandardCharsets.US_ASCII));
    field(blob, point);
    return SSH_TYPE + " " + Base64.getEncoder().encodeToString(blob.toByteArray());
  }

  private static void field(ByteArrayOutputStream blob, byte[] content) {
    byte[] length = ByteBuffer.allocate(Integer.BYTES).putInt(content.length).array();
    blob.write(length, 0, length.length);
    blob.write(content, 0, content.length);
  }
}
