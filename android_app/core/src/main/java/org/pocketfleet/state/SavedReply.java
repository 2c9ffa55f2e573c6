package org.pocketfleet.state;

import java.io.EOFException;
import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** A reply on disk, as {@link StateDirectory#saveReply} wrote it. */
public final class SavedReply implements OutgoingReply {
  static final byte[] MAGIC = "pocketfleet reply 1\n".getBytes(StandardCharsets.US_ASCII);
  static final int ID_BYTES = 64;
  static final int LENGTH_BYTES = 8;

  private final File file;
  private final FileChannel channel;
  private final byte[] announcement;
  private final Map<String, long[]> places = new LinkedHashMap<>();

  /**
   * Opens a reply.
   *
   * @throws EOFException the file is something else, or was cut short
   * @throws IOException it cannot be read
   */
  SavedReply(File file) throws IOException {
    this.file = file;
    channel = FileChannel.open(file.toPath(), StandardOpenOption.READ);
    boolean whole = false;
    try {
      if (!Arrays.equals(bytes(MAGIC.length), MAGIC)) {
        throw new EOFException("not a saved reply");
      }
      announcement = bytes(length());
      while (channel.position() < channel.size()) {
        String id = new String(bytes(ID_BYTES), StandardCharsets.US_ASCII);
        int size = length();
        places.put(id, new long[] {channel.position(), size});
        channel.position(channel.position() + size);
      }
      whole = true;
    } finally {
      if (!whole) {
        channel.close();
      }
    }
  }

  @Override
  public byte[] announcement() {
    return announcement.clone();
  }

  @Override
  public List<String> objectIds() {
    return new ArrayList<>(places.keySet());
  }

  @Override
  public ByteBuffer read(String objectId) throws StateException {
    long[] place = places.get(objectId);
    ByteBuffer content = ByteBuffer.allocate((int) place[1]);
    try {
      while (content.hasRemaining()) {
        if (channel.read(content, place[0] + content.position()) < 0) {
          throw new EOFException("cut short");
        }
      }
    } catch (IOException error) {
      throw new StateException(file + ": cannot be read: " + error.getMessage(), error);
    }
    content.flip();
    return content;
  }

  @Override
  public int size(String objectId) {
    return (int) places.get(objectId)[1];
  }

  @Override
  public void close() {
    try {
      channel.close();
    } catch (IOException nothingIsLost) {
      // It was only read.
      return;
    }
  }

  /** Reads the length of what follows, which the file has to have. */
  private int length() throws IOException {
    long length = ByteBuffer.wrap(bytes(LENGTH_BYTES)).order(ByteOrder.LITTLE_ENDIAN).getLong();
    if (length < 0 || length > channel.size() - channel.position() || length > Integer.MAX_VALUE) {
      throw new EOFException("a saved reply cut short");
    }
    return (int) length;
  }

  private byte[] bytes(int count) throws IOException {
    if (count > channel.size() - channel.position()) {
      throw new EOFException("a saved reply cut short");
    }
    ByteBuffer bytes = ByteBuffer.allocate(count);
    while (bytes.hasRemaining()) {
      if (channel.read(bytes) < 0) {
        throw new EOFException("a saved reply cut short");
      }
    }
    return bytes.array();
  }
}
