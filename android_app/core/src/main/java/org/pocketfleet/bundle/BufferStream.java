package org.pocketfleet.bundle;

import java.io.InputStream;
import java.nio.ByteBuffer;

/** The bytes of a buffer, from position to limit, as a stream. The buffer stays as it is. */
final class BufferStream extends InputStream {
  private final ByteBuffer data;

  BufferStream(ByteBuffer data) {
    this.data = data.duplicate();
  }

  @Override
  public int read() {
    return data.hasRemaining() ? data.get() & 0xff : -1;
  }

  @Override
  public int read(byte[] into, int offset, int length) {
    if (length == 0) {
      return 0;
    }
    int count = Math.min(length, data.remaining());
    if (count == 0) {
      return -1;
    }
    data.get(into, offset, count);
    return count;
  }
}
