package org.pocketfleet;

import java.nio.charset.StandardCharsets;
import java.util.Base64;

/** The text form of keys. */
public final class Pem {
  private static final int LINE = 64;

  private Pem() {}

  /** Writes one block. */
  public static byte[] encode(String label, byte[] der) {
    byte[] newline = {'\n'};
    String body = Base64.getMimeEncoder(LINE, newline).encodeToString(der);
    return ("-----BEGIN " + label + "-----\n" + body + "\n-----END " + label + "-----\n")
        .getBytes(StandardCharsets.US_ASCII);
  }

  /** Reads the first block with this label; null: there is none. */
  public static byte[] decode(String label, byte[] pem) {
    String text = new String(pem, StandardCharsets.ISO_8859_1);
    String begin = "-----BEGIN " + label + "-----";
    int start = text.indexOf(begin);
    int end = text.indexOf("-----END " + label + "-----", start + 1);
    if (start < 0 || end < 0) {
      return null;
    }
    try {
      return Base64.getMimeDecoder().decode(text.substring(start + begin.length(), end));
    } catch (IllegalArgumentException notBase64) {
      return null;
    }
  }
}
