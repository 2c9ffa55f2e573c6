package org.pocketfleet.transport;

import java.util.Arrays;

/**
 * Keys on the curve P-384 as bytes. Both encodings have one length and fixed bytes around the
 * numbers, and Java alone cannot get a public key from a private one; so we put them together
 * ourselves.
 */
final class P384 {
  /** Bytes of an uncompressed point. */
  static final int POINT_BYTES = 97;

  /** Bytes of a private number. */
  static final int SCALAR_BYTES = 48;

  private static final byte[] PUBLIC_PREFIX =
      bytes("3076301006072a8648ce3d020106052b81040022036200");
  private static final byte[] PRIVATE_PREFIX =
      bytes("3081b6020100301006072a8648ce3d020106052b8104002204819e30819b0201010430");
  private static final byte[] PRIVATE_MIDDLE = bytes("a164036200");

  private P384() {}

  /** The point of a SubjectPublicKeyInfo; null: it is not one on this curve. */
  static byte[] pointOf(byte[] publicKey) {
    boolean ours =
        publicKey.length == PUBLIC_PREFIX.length + POINT_BYTES && has(publicKey, 0, PUBLIC_PREFIX);
    return ours ? Arrays.copyOfRange(publicKey, PUBLIC_PREFIX.length, publicKey.length) : null;
  }

  /** The SubjectPublicKeyInfo of a point. */
  static byte[] publicKey(byte[] point) {
    return join(PUBLIC_PREFIX, point);
  }

  /**
   * The PKCS #8 of a private number with its point, as OpenSSL and Python's cryptography write it.
   */
  static byte[] privateKey(byte[] scalar, byte[] point) {
    return join(PRIVATE_PREFIX, scalar, PRIVATE_MIDDLE, point);
  }

  /** The point within what {@link #privateKey} makes; null: it is something else. */
  static byte[] pointOfPrivate(byte[] privateKey) {
    int middle = PRIVATE_PREFIX.length + SCALAR_BYTES;
    int point = middle + PRIVATE_MIDDLE.length;
    boolean ours =
        privateKey.length == point + POINT_BYTES
            && has(privateKey, 0, PRIVATE_PREFIX)
            && has(privateKey, middle, PRIVATE_MIDDLE);
    return ours ? Arrays.copyOfRange(privateKey, point, privateKey.length) : null;
  }

  private static boolean has(byte[] bytes, int at, byte[] part) {
    return Arrays.equals(Arrays.copyOfRange(bytes, at, at + part.length), part);
  }

  private static byte[] join(byte[]... parts) {
    int length = 0;
    for (byte[] part : parts) {
      length += part.length;
    }
    byte[] all = new byte[length];
    int at = 0;
    for (byte[] part : parts) {
      System.arraycopy(part, 0, all, at, part.length);
      at += part.length;
    }
    return all;
  }

  private static byte[] bytes(String hex) {
    byte[] bytes = new byte[hex.length() / 2];
    for (int at = 0; at < bytes.length; at++) {
      bytes[at] = (byte) Integer.parseInt(hex.substring(2 * at, 2 * at + 2), 16);
    }
    return bytes;
  }
}
