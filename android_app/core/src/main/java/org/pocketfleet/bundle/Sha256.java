package org.pocketfleet.bundle;

import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;

/** SHA-256 in hexadecimal. */
final class Sha256 {
  private static final String DIGITS = "0123456789abcdef";

  private Sha256() {}

  /** The hash of the bytes from position to limit, which stay as they are. */
  static String hex(ByteBuffer data) {
    MessageDigest digest;
    try {
      digest = MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException error) {
      throw new IllegalStateException("every Java has SHA-256", error);
    }
    digest.update(data.duplicate());
    StringBuilder text = new StringBuilder();
    for (byte value : digest.digest()) {
      text.append(DIGITS.charAt((value >> 4) & 15)).append(DIGITS.charAt(value & 15));
    }
    return text.toString();
  }
}
