package org.pocketfleet.transport;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.pocketfleet.state.OutgoingReply;

/** A small reply that found no room on the disk. */
final class MemoryReply implements OutgoingReply {
  private final byte[] announcement;
  private final Map<String, StoredObject> objects = new LinkedHashMap<>();

  MemoryReply(byte[] announcement, List<StoredObject> inOrder) {
    this.announcement = announcement;
    for (StoredObject object : inOrder) {
      objects.put(object.id(), object);
    }
  }

  @Override
  public byte[] announcement() {
    return announcement.clone();
  }

  @Override
  public List<String> objectIds() {
    return new ArrayList<>(objects.keySet());
  }

  @Override
  public ByteBuffer read(String objectId) {
    StoredObject object = objects.get(objectId);
    ByteBuffer content = ByteBuffer.allocate(object.size());
    for (ByteBuffer part : object.parts()) {
      content.put(part);
    }
    content.flip();
    return content;
  }

  @Override
  public int size(String objectId) {
    return objects.get(objectId).size();
  }

  @Override
  public void close() {
    // There is nothing to let go of.
  }
}
