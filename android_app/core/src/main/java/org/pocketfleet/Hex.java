package org.pocketfleet;

import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;

/** Hashes and how they are written. */
public final class Hex {
  private static final char[] DIGITS = "0123456789abcdef".toCharArray();

  private Hex() {}

  /** A new SHA-256. */
  public static MessageDigest sha256() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException error) {
      throw new AssertionError("every Java has SHA-256", error);
    }
  }

  /** The SHA-256 of some bytes, from position to limit, which stay as they are. */
  public static String sha256(ByteBuffer content) {
    MessageDigest digest = sha256();
    digest.update(content.duplicate());
    return of(digest.digest());
  }

  /** Lower-case digits, two a byte. */
  public static String of(byte[] bytes) {
    char[] text = new char[2 * bytes.length];
    for (int at = 0; at < bytes.length; at++) {
      text[2 * at] = DIGITS[(bytes[at] >> 4) & 0xf];
      text[2 * at + 1] = DIGITS[bytes[at] & 0xf];
    }
    return new String(text);
  }
}
