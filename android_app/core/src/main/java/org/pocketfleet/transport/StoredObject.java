package org.pocketfleet.transport;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.pocketfleet.Hex;
import org.pocketfleet.state.SavableObject;

/**
 * An object to send: its id, and its bytes in parts that are not copied together.
 *
 * <p>An object is {@code <type> <child id>,<child id>... <body length>}, a zero byte, and the body;
 * its id is the SHA-256 of all that. A message is a tree of them, known by its root's id, so that
 * one id vouches for everything below.
 */
final class StoredObject implements SavableObject {
  private final String id;
  private final List<StoredObject> children;
  private final List<ByteBuffer> parts;
  private final int size;

  /**
   * Makes an object.
   *
   * @param kind type name, such as {@code ArrayChunk}
   * @param children child objects in order; one that comes twice is listed once
   * @param body parts of the body, each from position to limit; referred to, not copied
   */
  StoredObject(String kind, Collection<StoredObject> children, List<ByteBuffer> body) {
    Map<String, StoredObject> byId = new LinkedHashMap<>();
    for (StoredObject child : children) {
      byId.put(child.id, child);
    }
    this.children = Collections.unmodifiableList(new ArrayList<>(byId.values()));
    int length = 0;
    for (ByteBuffer part : body) {
      length = Math.addExact(length, part.remaining());
    }
    String head = kind + " " + String.join(",", byId.keySet()) + " " + length + "\0";
    List<ByteBuffer> all = new ArrayList<>();
    all.add(ByteBuffer.wrap(head.getBytes(StandardCharsets.US_ASCII)));
    MessageDigest digest = Hex.sha256();
    digest.update(all.get(0).duplicate());
    for (ByteBuffer part : body) {
      all.add(part.asReadOnlyBuffer());
      digest.update(part.duplicate());
    }
    this.parts = Collections.unmodifiableList(all);
    this.size = Math.addExact(all.get(0).remaining(), length);
    this.id = Hex.of(digest.digest());
  }

  /** Makes an object whose body is in one piece. */
  static StoredObject of(String kind, Collection<StoredObject> children, byte[] body) {
    return new StoredObject(kind, children, Arrays.asList(ByteBuffer.wrap(body)));
  }

  @Override
  public String id() {
    return id;
  }

  /** The child objects, each once. */
  List<StoredObject> children() {
    return children;
  }

  @Override
  public List<ByteBuffer> parts() {
    List<ByteBuffer> views = new ArrayList<>();
    for (ByteBuffer part : parts) {
      views.add(part.duplicate());
    }
    return views;
  }

  @Override
  public int size() {
    return size;
  }

  /** The object and all below it once each, children before their parents. */
  List<StoredObject> descendantsFirst() {
    Map<String, StoredObject> found = new LinkedHashMap<>();
    visit(found);
    return new ArrayList<>(found.values());
  }

  private void visit(Map<String, StoredObject> found) {
    if (!found.containsKey(id)) {
      for (StoredObject child : children) {
        child.visit(found);
      }
      found.put(id, this);
    }
  }
}
