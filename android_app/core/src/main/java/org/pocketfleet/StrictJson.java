package org.pocketfleet;

import com.google.gson.Strictness;
import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import com.google.gson.stream.MalformedJsonException;
import java.io.IOException;
import java.io.StringReader;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * Reads JSON from the network: what the standard does not allow is refused, nothing is bound to
 * classes, and deep nesting does not overflow the stack.
 */
public final class StrictJson {
  private StrictJson() {}

  /**
   * Opens a reader.
   *
   * @param utf8 the text, from position to limit; left as it is
   * @throws CharacterCodingException the bytes are not UTF-8
   */
  public static JsonReader reader(ByteBuffer utf8) throws CharacterCodingException {
    CharSequence text = StandardCharsets.UTF_8.newDecoder().decode(utf8.duplicate());
    JsonReader reader = new JsonReader(new StringReader(text.toString()));
    reader.setStrictness(Strictness.STRICT);
    return reader;
  }

  /**
   * Reads a list of natural numbers.
   *
   * @param most largest acceptable length
   * @return the numbers, or null if the next value is something else, which is then skipped
   * @throws IOException this is not JSON
   */
  public static long[] naturals(JsonReader reader, int most) throws IOException {
    if (reader.peek() != JsonToken.BEGIN_ARRAY) {
      reader.skipValue();
      return null;
    }
    reader.beginArray();
    long[] numbers = new long[8];
    int length = 0;
    boolean natural = true;
    while (reader.hasNext()) {
      long number = -1;
      if (reader.peek() == JsonToken.NUMBER) {
        number = natural(reader.nextString());
      } else {
        reader.skipValue();
      }
      natural &= number >= 0 && length < most;
      if (natural) {
        if (length == numbers.length) {
          numbers = Arrays.copyOf(numbers, 2 * length);
        }
        numbers[length++] = number;
      }
    }
    reader.endArray();
    return natural ? Arrays.copyOf(numbers, length) : null;
  }

  /**
   * Reads a string.
   *
   * @return the string, or null if the next value is something else, which is then skipped
   * @throws IOException this is not JSON
   */
  public static String string(JsonReader reader) throws IOException {
    if (reader.peek() == JsonToken.STRING) {
      return reader.nextString();
    }
    reader.skipValue();
    return null;
  }

  /**
   * Checks that nothing follows.
   *
   * @throws IOException something does
   */
  public static void end(JsonReader reader) throws IOException {
    if (reader.peek() != JsonToken.END_DOCUMENT) {
      throw new MalformedJsonException("something follows the value");
    }
  }

  private static long natural(String literal) {
    boolean digits = !literal.isEmpty() && literal.length() <= 18;
    for (int at = 0; at < literal.length() && digits; at++) {
      digits = literal.charAt(at) >= '0' && literal.charAt(at) <= '9';
    }
    return digits ? Long.parseLong(literal) : -1;
  }
}
