package org.pocketfleet.transport;

import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.pocketfleet.Hex;
import org.pocketfleet.StrictJson;

/**
 * An object that came and was taken apart. Its hash and form were checked; that the tree it belongs
 * to makes sense is for the reader to check.
 */
final class ReceivedObject {
  static final int MAX_CHILDREN = 16_384;
  private static final int MAX_HEAD = 64 + MAX_CHILDREN * (ObjectId.LENGTH + 1);
  private static final int MAX_KIND = 32;

  private final String kind;
  private final List<String> children;
  private final ByteBuffer body;

  private ReceivedObject(String kind, List<String> children, ByteBuffer body) {
    this.kind = kind;
    this.children = children;
    this.body = body;
  }

  /**
   * Takes an object apart.
   *
   * @param id the id that it was asked for by
   * @param content the bytes that came, from position to limit
   * @param kinds the types that make sense at this place
   * @throws MessageException wrong hash, or not the form of an object
   */
  static ReceivedObject read(String id, ByteBuffer content, String... kinds)
      throws MessageException {
    if (!Hex.sha256(content).equals(id)) {
      throw wrong(id, "the bytes that came do not have this hash");
    }
    int end = content.position();
    int last = Math.min(content.limit(), end + MAX_HEAD);
    while (end < last && content.get(end) != 0) {
      end++;
    }
    if (end == last) {
      throw wrong(id, "no end of its head");
    }
    byte[] head = new byte[end - content.position()];
    content.duplicate().get(head);
    String[] fields = new String(head, StandardCharsets.ISO_8859_1).split(" ", -1);
    if (fields.length != 3 || !isKind(fields[0]) || !isLength(fields[2])) {
      throw wrong(id, "its head does not have the form of one");
    }
    if (!Arrays.asList(kinds).contains(fields[0])) {
      throw wrong(id, fields[0] + " where only " + String.join(" or ", kinds) + " can be");
    }
    List<String> children =
        fields[1].isEmpty() ? Collections.emptyList() : Arrays.asList(fields[1].split(",", -1));
    if (children.size() > MAX_CHILDREN || !children.stream().allMatch(ObjectId::isOne)) {
      throw wrong(id, "its list of children is not one");
    }
    if (new HashSet<>(children).size() != children.size()) {
      throw wrong(id, "lists a child twice");
    }
    ByteBuffer body = content.duplicate();
    body.position(end + 1);
    if (Long.parseLong(fields[2]) != body.remaining()) {
      throw wrong(id, "has " + body.remaining() + " bytes of body and claims " + fields[2]);
    }
    return new ReceivedObject(fields[0], children, body);
  }

  /** The type. */
  String kind() {
    return kind;
  }

  /** The ids of its children, each once, in order. */
  List<String> children() {
    return children;
  }

  /** A view of the body. */
  ByteBuffer body() {
    return body.duplicate();
  }

  /** The body's bytes. */
  byte[] bodyBytes() {
    byte[] bytes = new byte[body.remaining()];
    body.duplicate().get(bytes);
    return bytes;
  }

  /**
   * Reads the names that a record gives its children: ids by name.
   *
   * @throws MessageException the body is not a JSON object with exactly the children's ids
   */
  Map<String, String> names() throws MessageException {
    Map<String, String> names = new LinkedHashMap<>();
    try {
      JsonReader json = StrictJson.reader(body);
      if (json.peek() != JsonToken.BEGIN_OBJECT) {
        throw new MessageException(kind + ": its names are not a JSON object of ids");
      }
      json.beginObject();
      while (json.hasNext()) {
        String name = json.nextName();
        String id = StrictJson.string(json);
        if (id == null) {
          throw new MessageException(kind + ": its names are not a JSON object of ids");
        }
        if (names.put(name, id) != null) {
          throw new MessageException(kind + ": a name comes twice");
        }
      }
      json.endObject();
      StrictJson.end(json);
    } catch (IOException | IllegalStateException error) {
      throw new MessageException(kind + ": its names are not JSON", error);
    }
    if (!new HashSet<>(names.values()).equals(new HashSet<>(children))) {
      throw new MessageException(kind + ": its names are not those of its children");
    }
    return names;
  }

  private static boolean isKind(String text) {
    boolean letters = !text.isEmpty() && text.length() <= MAX_KIND;
    for (int at = 0; letters && at < text.length(); at++) {
      char letter = text.charAt(at);
      letters = (letter >= 'A' && letter <= 'Z') || (letter >= 'a' && letter <= 'z');
    }
    return letters;
  }

  private static boolean isLength(String text) {
    boolean digits = !text.isEmpty() && text.length() <= 18;
    for (int at = 0; digits && at < text.length(); at++) {
      digits = text.charAt(at) >= '0' && text.charAt(at) <= '9';
    }
    return digits && (text.length() == 1 || text.charAt(0) != '0');
  }

  private static MessageException wrong(String id, String what) {
    return new MessageException("object " + ObjectId.shown(id) + ": " + what);
  }
}
